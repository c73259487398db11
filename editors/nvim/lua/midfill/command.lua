--- `:Midfill`.
local M = {}

---@param arguments string[] of the `midfill` program
local function in_terminal(arguments)
  local program = require("midfill.server").program()
  if not program then
    return vim.notify("midfill: no `midfill` program found, see :checkhealth midfill", vim.log.levels.ERROR)
  end
  vim.cmd("botright new")
  vim.fn.jobstart({ program, unpack(arguments) }, { term = true })
end

local subcommands = {
  enable = function()
    require("midfill").enable(true)
  end,
  disable = function()
    require("midfill").enable(false)
  end,
  toggle = function()
    require("midfill").enable(not require("midfill").is_enabled())
  end,
  restart = function()
    require("midfill.server").restart()
  end,
  status = function()
    vim.notify(require("midfill.status").text())
  end,
  log = function()
    in_terminal({ "engine", "logs" })
  end,
  stats = function()
    in_terminal({ "stats" })
  end,
}

---@param typed string
---@return string[]
function M.complete(typed)
  local names = vim.tbl_filter(function(name)
    return vim.startswith(name, typed)
  end, vim.tbl_keys(subcommands))
  table.sort(names)
  return names
end

---@param arguments string[]
function M.run(arguments)
  local subcommand = subcommands[arguments[1] or "status"]
  if not subcommand then
    local known = table.concat(M.complete(""), ", ")
    return vim.notify(("midfill: no subcommand %s; there are %s"):format(arguments[1], known), vim.log.levels.WARN)
  end
  subcommand()
end

return M
