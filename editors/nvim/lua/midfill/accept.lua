--- Puts what is shown into the buffer, whole or in part.
local api = vim.api
local suggestion = require("midfill.suggestion")

local M = {}

---@param text string
---@param replaced integer
---@param tail integer
local function insert(text, replaced, tail)
  vim.bo.undolevels = vim.bo.undolevels -- closes the undo step, so that one `u` takes back what was accepted
  local lines = vim.split(text, "\n", { plain = true })
  local row, col = unpack(api.nvim_win_get_cursor(0))
  api.nvim_buf_set_text(0, row - 1, col, row - 1, col + replaced, lines)
  local start = #lines == 1 and col or 0
  api.nvim_win_set_cursor(0, { row + #lines - 1, start + #lines[#lines] + tail })
end

---@param session midfill.Session
---@param shown midfill.Suggestion
local function whole(session, shown)
  session:dismiss()
  insert(shown.text, shown.replaced, shown.tail)
  if type(shown.item.command) == "table" then
    session.client:exec_cmd(shown.item.command, { bufnr = session.bufnr })
  end
end

---@param session midfill.Session
---@param shown midfill.Suggestion
---@param text string the first part of what is shown
local function part(session, shown, text)
  insert(text, 0, 0)
  session:follow()
  local left = #shown.text - #text + shown.tail
  local item = shown.item
  local accepted = #item.insertText - left
  session.client:notify("textDocument/didPartiallyAcceptCompletion", {
    item = item,
    acceptedLength = vim.str_utfindex(item.insertText, "utf-16", math.max(accepted, 0), false),
  })
end

--- Accepts as much of what is shown as `take` returns of its text.
---@param take fun(text: string): string
---@return boolean accepted whether something was shown
local function accept(take)
  local session = require("midfill.session").of(api.nvim_get_current_buf())
  local shown = session and session:current()
  if not session or not shown then
    return false
  end
  local text = take(shown.text)
  if text == shown.text then
    whole(session, shown)
  else
    part(session, shown, text)
  end
  return true
end

function M.whole()
  local session = require("midfill.session").of(api.nvim_get_current_buf())
  local accepted = accept(function(text)
    return text
  end)
  return accepted or (session ~= nil and session.view.accept_foreign ~= nil and session.view.accept_foreign(session))
end

function M.word()
  return accept(suggestion.word)
end

function M.line()
  return accept(suggestion.line)
end

return M
