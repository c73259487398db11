--- Ghost text at the cursor from `midfill lsp`. `setup` switches it on; the rest is for mappings and status lines.
local M = {}

local group ---@type integer?
local enabled = false

---@return midfill.View
local function view()
  local builtin = require("midfill.config").current.builtin
  if builtin ~= false and require("midfill.builtin").available() then
    return require("midfill.builtin")
  end
  return require("midfill.inline")
end

--- Shows suggestions where a server is attached and may.
---@param bufnr integer
local function begin(bufnr)
  local client = require("midfill.server").client(bufnr)
  if client and group and enabled and vim.b[bufnr].midfill ~= false then
    require("midfill.session").attach(client, bufnr, view(), group)
  end
end

---@param name string
---@param link string
local function highlight(name, link)
  vim.api.nvim_set_hl(0, name, { link = link, default = true })
end

local function watch()
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, callback = callback })
  end
  -- Scheduled: the file type is known only after other plugins' autocommands, and the server is told it once.
  on({ "FileType", "BufReadPost", "BufNewFile", "BufFilePost" }, function(event)
    vim.schedule(function()
      require("midfill.server").attach(event.buf)
    end)
  end)
  on("LspAttach", function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == "midfill" then
      begin(event.buf)
    end
  end)
  on("LspDetach", function(event)
    local session = require("midfill.session").of(event.buf)
    if session and session.client.id == event.data.client_id then
      require("midfill.session").detach(event.buf, assert(group))
    end
  end)
end

--- Reads the options (see `midfill.config`), maps the keys and attaches to every file that is or will be open.
---@param options table?
function M.setup(options)
  if vim.fn.has("nvim-0.11") == 0 then
    return vim.notify("midfill: wants Neovim 0.11 or newer", vim.log.levels.ERROR)
  end
  local config = require("midfill.config")
  for _, complaint in ipairs(config.set(options)) do
    vim.notify("midfill: " .. complaint .. " (:help midfill-options)", vim.log.levels.WARN)
  end
  enabled = config.current.enabled
  group = vim.api.nvim_create_augroup("midfill", { clear = true })
  highlight("MidfillGhost", "NonText")
  highlight("MidfillHint", "MoreMsg")
  highlight("MidfillFilling", "Visual")
  require("midfill.keymaps").set(config.current.keymaps)
  watch()
  for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
    require("midfill.server").attach(bufnr)
    if require("midfill.session").of(bufnr) then
      begin(bufnr) -- a second call: its autocommands went with the first one's group
    end
  end
end

---@return boolean
function M.is_enabled()
  return enabled
end

--- Lets suggestions come, or not. The server runs on: a selection can still be filled.
---@param on boolean
function M.enable(on)
  enabled = on
  for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
    if on then
      begin(bufnr)
    elseif group then
      require("midfill.session").detach(bufnr, group)
    end
  end
  vim.cmd.redrawstatus()
end

---@return midfill.Session?
local function session()
  return require("midfill.session").of(vim.api.nvim_get_current_buf())
end

--- Accepts what is shown; false if nothing is. So do the next two, for its next word and its next line.
---@return boolean
function M.accept()
  return require("midfill.accept").whole()
end

---@return boolean
function M.accept_word()
  return require("midfill.accept").word()
end

---@return boolean
function M.accept_line()
  return require("midfill.accept").line()
end

--- Shows the next candidate; false if none is shown.
---@return boolean
function M.next()
  local current = session()
  return current ~= nil and current:cycle(1)
end

---@return boolean
function M.previous()
  local current = session()
  return current ~= nil and current:cycle(-1)
end

--- Rejects what is shown, and stops the filling of a selection; false if there was neither.
---@return boolean
function M.dismiss()
  local current = session()
  local hidden = current ~= nil and current:reject()
  return require("midfill.selection").cancel(vim.api.nvim_get_current_buf()) or hidden
end

--- Asks for suggestions now, and for several; false where that cannot be.
---@return boolean
function M.trigger()
  local current = session()
  if not current or not current:is_typing() then
    return false
  end
  current.view.trigger(current)
  return true
end

--- Fills what is selected in visual mode.
---@param mode "fast"|"best"
function M.fill(mode)
  require("midfill.selection").fill(mode)
end

--- For a status line.
---@return string
function M.statusline()
  return require("midfill.status").line()
end

return M
