--- What is suggested in one buffer, and where. A view (`inline` or `builtin`) asks the server and draws.
local suggestion = require("midfill.suggestion")

local api = vim.api
local M = {}

---@class midfill.View
---@field start fun(session: midfill.Session) begin to ask while the user types
---@field stop fun(session: midfill.Session) for good
---@field typed fun(session: midfill.Session) the text or the cursor is not what it was
---@field draw fun(session: midfill.Session) what the session holds, or nothing
---@field abort fun(session: midfill.Session) drop what was asked
---@field trigger fun(session: midfill.Session) ask now, for several candidates
---@field select fun(session: midfill.Session, count: integer): boolean show a candidate so many further on
---@field index? fun(session: midfill.Session): integer where the view keeps its own
---@field accept_foreign? fun(session: midfill.Session): boolean where it may show what other servers offer

---@class midfill.Session
---@field client vim.lsp.Client
---@field bufnr integer
---@field view midfill.View
---@field list midfill.Suggestion[] candidates, each to be inserted at `row` and `col`
---@field index integer of the one that is shown
---@field row integer
---@field col integer in bytes
---@field after string what stands right of the cursor on its line
---@field state table the view's own
local Session = {}
Session.__index = Session

local sessions = {} ---@type table<integer, midfill.Session?>

---@return integer row, integer col, string line
local function cursor()
  local row, col = unpack(api.nvim_win_get_cursor(0))
  return row - 1, col, api.nvim_get_current_line()
end

---@param bufnr integer
---@return midfill.Session?
function M.of(bufnr)
  return sessions[bufnr]
end

---@param client vim.lsp.Client
---@param bufnr integer
---@param view midfill.View
---@param group integer of the autocommands
function M.attach(client, bufnr, view, group)
  M.detach(bufnr, group)
  local session = setmetatable({ client = client, bufnr = bufnr, view = view, list = {}, state = {} }, Session)
  sessions[bufnr] = session
  api.nvim_create_autocmd({ "InsertEnter", "CursorMovedI", "TextChangedI", "TextChangedP" }, {
    group = group,
    buffer = bufnr,
    callback = function()
      session:follow()
      view.typed(session)
    end,
  })
  api.nvim_create_autocmd({ "InsertLeave", "BufLeave" }, {
    group = group,
    buffer = bufnr,
    callback = function()
      session:dismiss()
    end,
  })
  view.start(session)
end

---@param bufnr integer
---@param group integer of the autocommands
function M.detach(bufnr, group)
  local session = sessions[bufnr]
  if not session then
    return
  end
  if api.nvim_buf_is_valid(bufnr) then
    api.nvim_clear_autocmds({ group = group, buffer = bufnr })
  end
  session:dismiss()
  session.view.stop(session)
  sessions[bufnr] = nil
end

--- Whether the user is where a suggestion can be shown.
---@return boolean
function Session:is_typing()
  return api.nvim_get_current_buf() == self.bufnr and vim.startswith(api.nvim_get_mode().mode, "i")
end

--- Takes the server's answer for the cursor as it stands. No answer (null) leaves what is shown, and so does one that
--- has it among others: it may have been chosen.
---@param result lsp.InlineCompletionList|lsp.InlineCompletionItem[]|vim.NIL|nil
function Session:answer(result)
  if type(result) ~= "table" or not self:is_typing() then
    return
  end
  local row, col, line = cursor()
  local chosen = self:current()
  self.row, self.col, self.after, self.index, self.list = row, col, line:sub(col + 1), 1, {}
  for _, item in ipairs(result.items or result) do
    local candidate = suggestion.from_item(item, line, col, self.client.offset_encoding)
    self.list[#self.list + 1] = candidate
    self.index = candidate and chosen and candidate.text == chosen.text and #self.list or self.index
  end
  self.view.draw(self)
end

--- What was typed since `row` and `col`; nil if the cursor went back.
---@param row integer
---@param col integer
---@return string?
function Session:typed(row, col)
  local backwards = row < self.row or (row == self.row and col < self.col)
  local start = api.nvim_buf_get_lines(self.bufnr, self.row, self.row + 1, false)[1]
  if backwards or not start or #start < self.col then
    return nil
  end
  return table.concat(api.nvim_buf_get_text(self.bufnr, self.row, self.col, row, col, {}), "\n")
end

--- Brings the candidates to the cursor: those that agree with what was typed lose it, the others go.
function Session:follow()
  if #self.list == 0 or api.nvim_get_current_buf() ~= self.bufnr then
    return
  end
  local row, col, line = cursor()
  local after = line:sub(col + 1)
  if row == self.row and col == self.col and after == self.after then
    return
  end
  local typed, index = self:typed(row, col), self:shown_index()
  local list, kept = {}, 1
  for i, candidate in ipairs(typed and self.list or {}) do
    local rest = suggestion.advance(candidate, assert(typed), self.after, after)
    list[#list + 1] = rest
    kept = rest and i == index and #list or kept
  end
  self.row, self.col, self.after, self.list, self.index = row, col, after, list, kept
  self.view.draw(self)
end

---@return integer
function Session:shown_index()
  return self.view.index and self.view.index(self) or self.index
end

--- The one that is shown, for the cursor as it stands.
---@return midfill.Suggestion?
function Session:current()
  if not self:is_typing() then
    return nil
  end
  self:follow() -- keys typed in one go move the cursor without an event between them
  return self.list[self:shown_index()]
end

---@param count integer 1 for the next candidate, -1 for the one before
---@return boolean
function Session:cycle(count)
  self:follow()
  return self:is_typing() and self.view.select(self, count)
end

--- Hides what is shown and drops what was asked.
---@return boolean shown whether something was
function Session:dismiss()
  local shown = #self.list > 0
  self.list = {}
  self.view.draw(self)
  self.view.abort(self)
  return shown
end

--- Hides what is shown and has the server not offer it here again.
---@return boolean shown whether something was
function Session:reject()
  local shown = self:current()
  local command = shown and shown.item.command
  if type(command) == "table" and command.command == "midfill.accepted" then
    local rejected = { title = "Rejected", command = "midfill.rejected", arguments = command.arguments }
    self.client:exec_cmd(rejected, { bufnr = self.bufnr })
  end
  return self:dismiss()
end

return M
