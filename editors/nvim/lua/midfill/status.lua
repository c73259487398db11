--- What the server says of itself, for a status line.
local M = {}

---@class midfill.Status
---@field phase "stopped"|"starting"|"loading"|"ready"|"failed"|"paused"
---@field model string
---@field device string
---@field message string
---@field latencyMs number|vim.NIL

local by_client = {} ---@type table<integer, midfill.Status?>

local function changed()
  vim.api.nvim_exec_autocmds("User", { pattern = "MidfillStatus", modeline = false })
  vim.cmd.redrawstatus()
end

---@param status midfill.Status
---@param ctx lsp.HandlerContext
function M.on_status(_, status, ctx)
  by_client[ctx.client_id] = status
  changed()
end

---@param client_id integer
function M.forget(client_id)
  by_client[client_id] = nil
  changed()
end

--- Of the server of a buffer; nil where it has none, or that has not said anything yet.
---@param bufnr integer
---@return midfill.Status?
function M.of(bufnr)
  local client = require("midfill.server").client(bufnr)
  return client and by_client[client.id]
end

---@param status midfill.Status
---@return string
local function short(status)
  if status.phase ~= "ready" then
    return status.phase
  end
  return type(status.latencyMs) == "number" and ("%.0f ms"):format(status.latencyMs) or "ready"
end

--- For a status line: `midfill 42 ms`, `midfill loading`, `midfill off`; empty where no server is attached.
---@return string
function M.line()
  local bufnr = vim.api.nvim_get_current_buf()
  if not require("midfill.server").client(bufnr) then
    return ""
  end
  local status = M.of(bufnr)
  local is_on = require("midfill").is_enabled()
  return "midfill " .. (not is_on and "off" or status and short(status) or "starting")
end

--- All that is known, for people.
---@return string
function M.text()
  local client = require("midfill.server").client(vim.api.nvim_get_current_buf())
  if not client then
    return "midfill: no language server is attached to this buffer (:checkhealth midfill)"
  end
  local status = by_client[client.id] or { phase = "starting", model = "", device = "", message = "" }
  local parts = {
    "midfill: " .. (require("midfill").is_enabled() and status.phase or "off, by :Midfill disable"),
    status.model ~= "" and ("model %s on %s"):format(status.model, status.device) or nil,
  }
  if type(status.latencyMs) == "number" then
    parts[#parts + 1] = ("last answer %.0f ms"):format(status.latencyMs)
  end
  if status.message ~= "" then
    parts[#parts + 1] = status.message
  end
  return table.concat(parts, ", ")
end

return M
