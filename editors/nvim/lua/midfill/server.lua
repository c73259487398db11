--- The language server: found, started for a buffer, restarted.
local api = vim.api

local M = {}

local name = "midfill"
local scripts = vim.fn.has("win32") == 1 and "Scripts" or "bin"
local ending = vim.fn.has("win32") == 1 and ".exe" or ""

local trusts = {} ---@type table<string, boolean?> by folder; whoever ignores the question is not asked again

-- A checkout may bring a program of its own, which opening a file must not run: Neovim asks, and remembers.
---@param venv string
---@return boolean
local function is_trusted(venv)
  if trusts[venv] == nil then
    trusts[venv] = vim.secure.read(venv) ~= nil
  end
  return trusts[venv]
end

---@param root string?
---@return string? program, string[] looked where it was looked for
local function in_workspace(root)
  local looked = {}
  for _, folder in ipairs(root and { ".venv", "venv" } or {}) do
    local venv = vim.fs.joinpath(root, folder)
    local program = vim.fs.joinpath(venv, scripts, name .. ending)
    looked[#looked + 1] = program
    if vim.fn.executable(program) == 1 and is_trusted(venv) then
      return program, looked
    end
  end
  return nil, looked
end

--- How to start the server for a workspace; nil if there is none, with the places that were looked at.
---@param root string?
---@return string[]? cmd, string[] looked
function M.command(root)
  local cmd = require("midfill.config").current.cmd
  if cmd then
    return vim.fn.executable(cmd[1]) == 1 and cmd or nil, { cmd[1] .. " (option cmd)" }
  end
  local program, looked = in_workspace(root)
  if not program and vim.fn.executable(name) == 1 then
    program = vim.fn.exepath(name)
  end
  looked[#looked + 1] = name .. " on PATH"
  return program and { program, "lsp" } or nil, looked
end

--- The `midfill` program that the current buffer's server is, or would be, started with.
---@return string?
function M.program()
  local client = M.client(api.nvim_get_current_buf())
  local cmd = client and client.config.cmd or M.command(M.root(api.nvim_get_current_buf()))
  return type(cmd) == "table" and cmd[1] or nil
end

---@param bufnr integer
---@return string?
function M.root(bufnr)
  return vim.fs.root(bufnr, require("midfill.config").current.root_markers)
end

---@param bufnr integer
---@return vim.lsp.Client?
function M.client(bufnr)
  return vim.iter(vim.lsp.get_clients({ name = name, bufnr = bufnr })):find(function(client)
    return not client:is_stopped()
  end)
end

---@return vim.lsp.Client[]
function M.clients()
  return vim.lsp.get_clients({ name = name })
end

---@return lsp.ClientCapabilities
local function capabilities()
  return vim.tbl_deep_extend("force", vim.lsp.protocol.make_client_capabilities(), {
    textDocument = { inlineCompletion = { dynamicRegistration = false } }, -- 0.11 does not know of it
  })
end

local exits = {} ---@type table<integer, fun()> by client, for those that were told to stop

---@param client_id integer
local function on_exit(_, _, client_id)
  vim.schedule(function()
    require("midfill.status").forget(client_id) -- Neovim tells the user where it failed
    if exits[client_id] then
      exits[client_id]()
    end
  end)
end

---@param bufnr integer
---@return boolean
local function is_wanted(bufnr)
  local is_file = api.nvim_buf_is_loaded(bufnr) and vim.bo[bufnr].buftype == "" and api.nvim_buf_get_name(bufnr) ~= ""
  return is_file and vim.b[bufnr].midfill ~= false and not M.client(bufnr)
end

--- Attaches the workspace's server to the buffer, starting it where it does not run.
---@param bufnr integer
function M.attach(bufnr)
  if not is_wanted(bufnr) then
    return
  end
  local root = M.root(bufnr)
  local cmd, looked = M.command(root)
  if not cmd then
    local message =
      "midfill: no `midfill` program found. Looked for %s. Install it or set the option cmd; see :help midfill-install"
    return vim.notify_once(message:format(table.concat(looked, ", ")), vim.log.levels.ERROR)
  end
  local settings = require("midfill.config").current.settings
  vim.lsp.start({
    name = name,
    cmd = cmd,
    root_dir = root,
    init_options = next(settings) and settings or nil, -- an empty table would be sent as a list
    capabilities = capabilities(),
    handlers = { ["midfill/status"] = require("midfill.status").on_status },
    on_exit = on_exit,
  }, { bufnr = bufnr })
end

local restarting = false

--- Stops every server and starts those anew that had buffers. A second call joins the first.
function M.restart()
  if restarting then
    return
  end
  trusts = {}
  local clients = M.clients()
  local buffers, left = {}, #clients
  local function start()
    restarting = false
    vim.iter(pairs(buffers)):each(M.attach)
    M.attach(api.nvim_get_current_buf())
  end
  if left == 0 then
    return start()
  end
  restarting = true
  for _, client in ipairs(clients) do
    buffers = vim.tbl_extend("force", buffers, client.attached_buffers)
    exits[client.id] = function()
      exits[client.id] = nil
      left = left - 1
      if left == 0 then
        start()
      end
    end
    client:stop()
    vim.defer_fn(function()
      if exits[client.id] then
        client:stop(true)
      end
    end, 3000)
  end
end

return M
