--- Lets Neovim's vim.lsp.inline_completion (0.12) ask and draw, beside whatever other servers it asks.
---
--- Its public functions cannot ask by hand, keep the rest after a part was accepted, or drop an answer that came too
--- late, so this reaches for the object behind them. Where that is not as it was in 0.12, `available` says so and
--- Midfill's own client is used.

---@type midfill.View
local M = {} ---@diagnostic disable-line: missing-fields

local needed = { "handler", "select", "abort", "request", "automatic_request", "on_detach", "destroy" }

---@return table? class its Completor
local function completors()
  local found, capability = pcall(require, "vim.lsp._capability")
  return found and pcall(require, "vim.lsp.inline_completion") and (capability.all or {}).inline_completion or nil
end

---@return boolean
function M.available()
  local class = completors()
  return class ~= nil
    and type(class.active) == "table"
    and vim.iter(needed):all(function(name)
      return type(class[name]) == "function"
    end)
end

---@param session midfill.Session
---@return table? completor with a state for our client
local function completor(session)
  local found = assert(completors()).active[session.bufnr]
  return found and found.client_state[session.client.id] and found or nil
end

--- How many candidates of other servers come before ours: they are counted together, in the order of client ids.
---@param found table
---@param client_id integer
---@return integer
local function before_ours(found, client_id)
  local count = 0
  for id, state in pairs(found.client_state) do
    count = count + (id < client_id and #(state.items or {}) or 0)
  end
  return count
end

--- Takes our server's answers out of Neovim's hands: it would show one that came after the next key.
---@param session midfill.Session
---@param found table
local function take_answers(session, found)
  local class = assert(completors())
  function found.handler(self, err, result, ctx)
    if ctx.client_id ~= session.client.id then
      return class.handler(self, err, result, ctx)
    end
    local is_current = ctx.version == vim.lsp.util.buf_versions[session.bufnr]
    if err or not is_current or not session:is_typing() then
      return -- an older keystroke's answer
    end
    local here = vim.lsp.util.make_position_params(0, session.client.offset_encoding).position
    if vim.deep_equal(here, ctx.params.position) then
      session:answer(result)
    end
  end
end

function M.start(session)
  -- Neovim switches the feature on by itself only some time after the buffer is attached, and what is typed before
  -- that asks for nothing.
  vim.schedule(function()
    if session.state.stopped or not vim.api.nvim_buf_is_valid(session.bufnr) then
      return
    end
    vim.lsp.inline_completion.enable(true, { bufnr = session.bufnr })
    if not completor(session) then -- it counts as on, and so nothing was done, where `stop` took our client out
      vim.lsp.inline_completion.enable(false, { bufnr = session.bufnr })
      vim.lsp.inline_completion.enable(true, { bufnr = session.bufnr })
    end
    local found = completor(session)
    if found then
      take_answers(session, found)
      if session:is_typing() then
        found:automatic_request()
      end
    end
  end)
end

-- For our client alone: the public function would switch it off for every server of the buffer.
function M.stop(session)
  session.state.stopped = true
  local found = completor(session)
  if found then
    found.handler = nil
    found:on_detach(session.client.id)
    if not next(found.client_state) then
      found:destroy()
    end
  end
end

-- Neovim listens to the keys itself.
function M.typed() end

function M.trigger(session)
  local found = completor(session)
  if found then
    found:abort()
    found:request(1)
  end
end

function M.abort(session)
  local found = completor(session)
  if found then
    found:abort()
  end
end

function M.index(session)
  local found = completor(session)
  local current = found and found.current
  if not current or current.client_id ~= session.client.id then
    return 0
  end
  return current._index - before_ours(found, session.client.id)
end

---@param session midfill.Session
---@return lsp.InlineCompletionItem[]
local function items(session)
  local line = vim.api.nvim_buf_get_lines(session.bufnr, session.row, session.row + 1, false)[1] or ""
  local function position(col)
    return { line = session.row, character = vim.str_utfindex(line, session.client.offset_encoding, col, false) }
  end
  return vim.tbl_map(function(shown)
    local range = { start = position(session.col), ["end"] = position(session.col + shown.replaced) }
    return { insertText = shown.text, range = range, command = shown.item.command }
  end, session.list)
end

function M.draw(session)
  local found = completor(session)
  if not found then
    return
  end
  local ours = #session.list > 0
  found.client_state[session.client.id].items = ours and items(session) or nil
  found:select(ours and before_ours(found, session.client.id) + session.index or 1)
end

-- Among the candidates of all servers.
function M.select(session, count)
  local found = completor(session)
  if not found or not found.current then
    return false
  end
  vim.lsp.inline_completion.select({ bufnr = session.bufnr, count = count })
  return true
end

function M.accept_foreign(session)
  local found = completor(session)
  local is_foreign = found and found.current and found.current.client_id ~= session.client.id
  return is_foreign == true and vim.lsp.inline_completion.get({ bufnr = session.bufnr })
end

return M
