--- Asks the server and draws ghost text by itself, for a Neovim without vim.lsp.inline_completion.
local api = vim.api
local namespace = api.nvim_create_namespace("midfill")

---@class midfill.InlineState
---@field timer uv.uv_timer_t?
---@field request integer? id of the one that is not answered
---@field situation string? the one that it, or the timer, is about
---@field mark integer? the extmark

---@type midfill.View
local M = {} ---@diagnostic disable-line: missing-fields

---@param session midfill.Session
---@return string the same as long as nothing was typed and the cursor did not move
local function situation(session)
  local row, col = unpack(api.nvim_win_get_cursor(0))
  return ("%d:%d:%d"):format(api.nvim_buf_get_changedtick(session.bufnr), row, col)
end

---@param session midfill.Session
---@param kind integer 1 invoked, 2 automatic
local function ask(session, kind)
  M.abort(session)
  local state, client, asked = session.state, session.client, situation(session)
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = kind } ---@diagnostic disable-line: inject-field
  local request ---@type integer?
  local sent, id = client:request("textDocument/inlineCompletion", params, function(err, result)
    if state.request ~= request then
      return -- an older keystroke's answer
    end
    state.request = nil
    if not err and session:is_typing() and situation(session) == asked then
      session:answer(result)
    end
  end, session.bufnr)
  request = sent and id or nil
  state.request = request
end

--- Tabs as the spaces they take: virtual text would show them as ^I.
---@param text string
---@param column integer of the screen, from 0
---@return string
local function expanded(text, column)
  local tab = vim.bo.tabstop
  return (
    text:gsub("[^\t]*\t", function(part)
      local words = part:sub(1, -2)
      local width = vim.fn.strdisplaywidth(words, column)
      local gap = tab - (column + width) % tab
      column = column + width + gap
      return words .. (" "):rep(gap)
    end)
  )
end

function M.start(session)
  if session:is_typing() then
    M.typed(session)
  end
end

function M.stop(session)
  M.abort(session)
end

function M.typed(session)
  local state, now = session.state, situation(session)
  if state.situation == now then
    return -- the second event of one key
  end
  M.abort(session)
  state.situation = now
  state.timer = vim.defer_fn(function()
    if session:is_typing() then
      ask(session, 2)
    end
  end, require("midfill.config").current.debounce_ms)
end

function M.trigger(session)
  ask(session, 1)
end

function M.abort(session)
  local state = session.state ---@type midfill.InlineState
  if state.timer and not state.timer:is_closing() then
    state.timer:stop()
    state.timer:close()
  end
  if state.request then
    session.client:cancel_request(state.request)
  end
  state.timer, state.request, state.situation = nil, nil, nil
end

--- Draws the candidate, and behind it a hint, if there is one.
---@param session midfill.Session
---@param hint string?
local function draw(session, hint)
  local state, shown = session.state, session.list[session.index]
  if state.mark and api.nvim_buf_is_valid(session.bufnr) then
    api.nvim_buf_del_extmark(session.bufnr, namespace, state.mark)
    state.mark = nil
  end
  if not shown then
    return
  end
  local column, lines = vim.fn.strdisplaywidth(api.nvim_get_current_line():sub(1, session.col)), {}
  for text in vim.gsplit(shown.text, "\n", { plain = true }) do
    lines[#lines + 1] = { { expanded(text, #lines == 0 and column or 0), "MidfillGhost" } }
  end
  if hint then
    table.insert(lines[#lines], { hint, "MidfillHint" })
  end
  state.mark = api.nvim_buf_set_extmark(session.bufnr, namespace, session.row, session.col, {
    virt_text = lines[1],
    virt_text_pos = shown.replaced > 0 and "overlay" or "inline",
    virt_lines = #lines > 1 and vim.list_slice(lines, 2) or nil,
    hl_mode = "combine",
  })
end

function M.draw(session)
  draw(session)
end

function M.select(session, count)
  if #session.list == 0 then
    return false
  end
  session.index = (session.index - 1 + count) % #session.list + 1
  draw(session, (" (%d/%d)"):format(session.index, #session.list))
  return true
end

return M
