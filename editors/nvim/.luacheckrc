std = "luajit"
globals = { "vim" }
cache = false
