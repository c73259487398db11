if vim.g.loaded_midfill or vim.fn.has("nvim-0.11") == 0 then
  return
end
vim.g.loaded_midfill = true

vim.api.nvim_create_user_command("Midfill", function(call)
  require("midfill.command").run(call.fargs)
end, {
  nargs = "?",
  complete = function(typed)
    return require("midfill.command").complete(typed)
  end,
  desc = "Midfill: enable, disable, toggle, restart, status, log, stats",
})
