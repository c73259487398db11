--- `:checkhealth midfill`.
local M = {}

local health = vim.health

local function neovim()
  health.start("Neovim")
  if vim.fn.has("nvim-0.11") == 0 then
    return health.error(("%s is too old"):format(vim.version()), "Midfill wants Neovim 0.11 or newer.")
  end
  local builtin = require("midfill.config").current.builtin
  local available = require("midfill.builtin").available()
  health.ok("version " .. tostring(vim.version()))
  if available and builtin ~= false then
    health.ok("ghost text over vim.lsp.inline_completion")
  elseif builtin then
    health.warn("the option builtin is true, but this Neovim has no vim.lsp.inline_completion as 0.12 has it")
  else
    health.ok("ghost text by Midfill's own client")
  end
end

--- What a program prints to stdout, or nil with what it prints to stderr.
---@param command string[]
---@return string? stdout, string stderr
local function output(command)
  local started, running = pcall(vim.system, command, { text = true, timeout = 10000 })
  if not started then
    return nil, tostring(running)
  end
  local result = running:wait()
  return result.code == 0 and vim.trim(result.stdout) or nil, vim.trim(result.stderr or "")
end

---@return string? program
local function program()
  health.start("The midfill program")
  local server = require("midfill.server")
  local found = server.program()
  if not found then
    local _, looked = server.command(server.root(vim.api.nvim_get_current_buf()))
    health.error("not found: " .. table.concat(looked, ", "), {
      "`make setup` in a copy of Midfill's source makes .venv/bin/midfill: put it on PATH,",
      "or tell where it is: require('midfill').setup({ cmd = { '/path/to/midfill', 'lsp' } })",
    })
    return nil
  end
  local version, why = output({ found, "--version" })
  if not version then
    health.error(("%s does not run: %s"):format(found, why))
    return nil
  end
  health.ok(("%s, version %s"):format(found, version))
  return found
end

---@param found string
local function engine(found)
  health.start("The engine")
  local status, why = output({ found, "engine", "status", "--json" })
  local read, fields = pcall(vim.json.decode, status or "")
  if not status or not read then
    return health.info("does not run; the next suggestion starts it. " .. why)
  end
  health.ok(("pid %s, model %s on %s"):format(fields.pid, fields.model, fields.device))
end

local function servers()
  health.start("The language server")
  local clients = require("midfill.server").clients()
  if #clients == 0 then
    health.warn("runs for no buffer", "Open a file with a name; :Midfill restart tries again.")
  end
  for _, client in ipairs(clients) do
    local buffers = vim.tbl_keys(client.attached_buffers)
    local place = client.root_dir or "no workspace"
    health.ok(("for %s: %d buffers, positions in %s"):format(place, #buffers, client.offset_encoding))
    local status = buffers[1] and require("midfill.status").of(buffers[1])
    if status then
      local say = status.phase == "failed" and health.error or health.info
      say(("%s %s"):format(status.phase, status.message))
    end
  end
  health.info("log: " .. vim.lsp.log.get_filename())
end

local function keys()
  health.start("Keys")
  local keymaps = require("midfill.config").current.keymaps
  local key = keymaps and keymaps.accept
  if not key then
    return health.info("none is mapped to accept")
  end
  local mapping = vim.fn.maparg(key, "i", false, true)
  if vim.startswith(mapping.desc or "", "Midfill") then
    health.ok(key .. " accepts")
  else
    local advice = "Map another key, or call require('midfill').accept() in that mapping; see :help midfill-keys"
    health.warn(("%s is mapped to something else (%s)"):format(key, mapping.desc or mapping.rhs or "nothing"), advice)
  end
end

function M.check()
  neovim()
  local found = program()
  if found then
    engine(found)
  end
  servers()
  keys()
end

return M
