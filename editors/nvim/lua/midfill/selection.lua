--- Has the selected text written anew, with everything around it as context.
local api = vim.api
local namespace = api.nvim_create_namespace("midfill")

local M = {}

---@class midfill.Filling
---@field client vim.lsp.Client
---@field id integer? of the request
---@field mark integer the extmark over the text that is being replaced

local filling = {} ---@type table<integer, midfill.Filling?> by buffer

---@return integer[]? first row and byte, integer[]? last row and the byte after it
local function selected()
  local kind = api.nvim_get_mode().mode
  if kind ~= "v" and kind ~= "V" then
    return nil
  end
  local lines = vim.fn.getregionpos(vim.fn.getpos("v"), vim.fn.getpos("."), { type = kind })
  local first, last = lines[1][1], lines[#lines][2]
  local line = api.nvim_buf_get_lines(0, last[2] - 1, last[2], false)[1]
  return { first[2] - 1, math.max(first[3] - 1, 0) }, { last[2] - 1, math.min(last[3], #line) }
end

---@param bufnr integer
---@param place integer[]
---@param encoding string
---@return lsp.Position
local function position(bufnr, place, encoding)
  local line = api.nvim_buf_get_lines(bufnr, place[1], place[1] + 1, false)[1]
  return { line = place[1], character = vim.str_utfindex(line, encoding, place[2], false) }
end

--- Stops the filling of a buffer's selection.
---@param bufnr integer
---@return boolean running whether there was one
function M.cancel(bufnr)
  local running = filling[bufnr]
  if not running then
    return false
  end
  filling[bufnr] = nil
  api.nvim_buf_del_extmark(bufnr, namespace, running.mark)
  if running.id then
    running.client:cancel_request(running.id)
  end
  return true
end

---@param bufnr integer
---@param first integer[]
---@param last integer[]
---@return integer
local function marked(bufnr, first, last)
  return api.nvim_buf_set_extmark(bufnr, namespace, first[1], first[2], {
    end_row = last[1],
    end_col = last[2],
    hl_group = "MidfillFilling",
  })
end

---@param bufnr integer
---@param running midfill.Filling
---@return fun(err: lsp.ResponseError?)
local function on_answer(bufnr, running)
  return function(err)
    if filling[bufnr] ~= running then
      return -- cancelled, or another selection since
    end
    running.id = nil
    M.cancel(bufnr)
    if err then
      vim.notify("midfill: " .. err.message, vim.log.levels.WARN)
    end
  end
end

--- Fills what is selected in visual mode. The server sends the text as one edit of this version of the buffer.
---@param mode "fast"|"best"
function M.fill(mode)
  local bufnr = api.nvim_get_current_buf()
  local client = require("midfill.server").client(bufnr)
  if not client then
    return vim.notify("midfill: no language server is attached to this buffer", vim.log.levels.WARN)
  end
  local first, last = selected()
  if not first or not last then
    return vim.notify("midfill: select characters or whole lines first", vim.log.levels.WARN)
  end
  api.nvim_feedkeys(api.nvim_replace_termcodes("<Esc>", true, false, true), "nx", false)
  M.cancel(bufnr)
  vim.bo.undolevels = vim.bo.undolevels -- the edit will be an undo step of its own
  local encoding = client.offset_encoding
  local range = { start = position(bufnr, first, encoding), ["end"] = position(bufnr, last, encoding) }
  local running = { client = client, mark = marked(bufnr, first, last) } ---@type midfill.Filling
  filling[bufnr] = running
  local sent, id = client:request("workspace/executeCommand", {
    command = "midfill.infillSelection",
    arguments = {
      { uri = vim.uri_from_bufnr(bufnr), range = range, mode = mode, version = vim.lsp.util.buf_versions[bufnr] },
    },
    workDoneToken = ("midfill-fill-%d-%d"):format(bufnr, running.mark),
  }, on_answer(bufnr, running), bufnr)
  running.id = sent and id or nil
end

return M
