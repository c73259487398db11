--- The options. `defaults` is their documentation.
local M = {}

---@class midfill.Config
M.defaults = {
  -- How the language server is started, as a list. nil: `midfill lsp`,
  -- with the program of the workspace's .venv or venv (Neovim asks once
  -- whether you trust that folder), else the one on PATH.
  cmd = nil, ---@type string[]?
  -- Whether suggestions come while you type.
  enabled = true,
  -- The server's own settings, such as
  -- { languages = { markdown = false }, maxTokens = 32 }.
  settings = {}, ---@type table<string, any>
  -- What marks the root of a workspace.
  root_markers = { ".git", "pyproject.toml", "package.json", "go.mod" },
  -- true: Neovim's vim.lsp.inline_completion asks and draws. false:
  -- Midfill's own client does. nil: Neovim's, where it has one.
  builtin = nil, ---@type boolean?
  -- How long Midfill's own client waits after a key (Neovim's waits
  -- 200). The server waits on top of it as your typing needs.
  debounce_ms = 30,
  -- false for a key leaves it alone; false for keymaps, all of them.
  keymaps = {
    accept = "<Tab>",
    accept_word = "<M-Right>",
    accept_line = "<M-C-Right>",
    next = "<M-]>",
    previous = "<M-[>",
    dismiss = "<C-]>",
    trigger = "<M-Bslash>",
    fill_fast = "<M-Bslash>", -- in Visual mode
    fill_best = "<M-Bar>", -- in Visual mode
  },
}

-- Of those whose default does not tell it, and those that may be false.
local types = {
  cmd = { "table", "nil" },
  builtin = { "boolean", "nil" },
  keymaps = { "table", "boolean" },
}

---@type midfill.Config
M.current = M.defaults

---@param given table
---@param known table
---@param where string
---@return table accepted, string[] complaints
local function checked(given, known, where)
  local accepted, complaints = {}, {}
  for name, value in pairs(given) do
    local wanted = where == "" and types[name] or { type(known[name]), where ~= "" and "boolean" or nil }
    if known[name] == nil and not types[name] then
      complaints[#complaints + 1] = ("unknown option %s%s"):format(where, name)
    elseif not vim.list_contains(wanted, type(value)) then
      local want = table.concat(wanted, " or ")
      complaints[#complaints + 1] = ("option %s%s: wanted %s, got %s"):format(where, name, want, type(value))
    else
      accepted[name] = value
    end
  end
  table.sort(complaints)
  return accepted, complaints
end

--- Makes `options` the current ones. Those that are unknown or of a wrong type are left out and named in the result.
---@param options table?
---@return string[] complaints
function M.set(options)
  local accepted, complaints = checked(options or {}, M.defaults, "")
  if type(accepted.keymaps) == "table" then
    local keymaps, more = checked(accepted.keymaps, M.defaults.keymaps, "keymaps.")
    accepted.keymaps = keymaps
    vim.list_extend(complaints, more)
  end
  M.current = vim.tbl_deep_extend("force", M.defaults, accepted)
  return complaints
end

return M
