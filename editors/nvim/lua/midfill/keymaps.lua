--- Keys, each of which does what it did before where there is nothing for us to do.
local api = vim.api

local M = {}

local mark = "Midfill: " -- how our mappings are known again

---@param keys string
---@param mode string of nvim_feedkeys
local function feed(keys, mode)
  api.nvim_feedkeys(api.nvim_replace_termcodes(keys, true, true, true), mode .. "it", false)
end

--- Does what `key` was mapped to, or types it. Not a Meta key: that would end Insert mode, as <Esc> before a key.
---@param key string
---@param previous table of maparg()
local function pass_on(key, previous)
  local remap = previous.noremap == 1 and "n" or "m"
  if previous.callback then
    local keys = previous.callback()
    if previous.expr == 1 and type(keys) == "string" then
      feed(keys, remap)
    end
  elseif (previous.rhs or "") ~= "" then
    feed(previous.expr == 1 and api.nvim_eval(previous.rhs) or previous.rhs, remap)
  elseif not key:lower():match("^<[ma]%-") then
    feed(key, "n")
  end
end

---@param key string|false
---@param action fun(): boolean
---@param about string
local function in_insert(key, action, about)
  if not key then
    return
  end
  local previous = vim.fn.maparg(key, "i", false, true)
  if vim.startswith(previous.desc or "", mark) then
    return
  end
  vim.keymap.set("i", key, function()
    if not action() then
      pass_on(key, previous)
    end
  end, { desc = mark .. about })
end

---@param key string|false
---@param mode "fast"|"best"
---@param about string
local function in_visual(key, mode, about)
  if key then
    vim.keymap.set("x", key, function()
      require("midfill").fill(mode)
    end, { desc = mark .. about })
  end
end

---@param keys table|false the option keymaps
function M.set(keys)
  if not keys then
    return
  end
  local midfill = require("midfill")
  in_insert(keys.accept, midfill.accept, "accept the suggestion")
  in_insert(keys.accept_word, midfill.accept_word, "accept its next word")
  in_insert(keys.accept_line, midfill.accept_line, "accept its next line")
  in_insert(keys.next, midfill.next, "next candidate")
  in_insert(keys.previous, midfill.previous, "previous candidate")
  in_insert(keys.dismiss, midfill.dismiss, "dismiss the suggestion")
  in_insert(keys.trigger, midfill.trigger, "ask for suggestions")
  in_visual(keys.fill_fast, "fast", "fill the selection, fast")
  in_visual(keys.fill_best, "best", "fill the selection, best quality")
end

return M
