-- nvim -l luacheck.lua ROOT ARGUMENTS…: luacheck from Debian's packages, extracted in ROOT, run by Neovim's LuaJIT.
local root = table.remove(_G.arg, 1)
package.path = ("%s/usr/share/lua/5.1/?.lua;%s/usr/share/lua/5.1/?/init.lua;"):format(root, root) .. package.path
package.cpath = root .. "/usr/lib/x86_64-linux-gnu/lua/5.1/?.so;" .. package.cpath
_G.arg[0] = "luacheck"
require("luacheck.main")
