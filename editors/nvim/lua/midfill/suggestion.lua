--- One suggestion as what is inserted at the cursor. Pure, but for `word`, which reads the buffer's 'iskeyword'.
local M = {}

---@class midfill.Suggestion
---@field text string what is inserted at the cursor
---@field replaced integer bytes to the right of the cursor that go
---@field tail integer bytes to the right of the cursor that it ends with: they stay, and the cursor goes behind them
---@field item lsp.InlineCompletionItem as the server sent it

--- The insertion that `item` amounts to with the cursor behind `col` bytes of `line`; nil if it is none.
---
--- An item may repeat text on either side of the cursor and say by its range that it does. Taken off here, because an
--- insertion is drawn between what stands there, while a replacement is drawn over it and hides what follows.
---@param item lsp.InlineCompletionItem
---@param line string
---@param col integer
---@param encoding string
---@return midfill.Suggestion?
function M.from_item(item, line, col, encoding)
  if type(item.insertText) ~= "string" then
    return nil -- a snippet
  end
  local text = item.insertText:gsub("\r\n?", "\n")
  local back, front = "", ""
  if type(item.range) == "table" then
    back = line:sub(vim.str_byteindex(line, encoding, item.range.start.character, false) + 1, col)
    front = line:sub(col + 1, vim.str_byteindex(line, encoding, item.range["end"].character, false))
  end
  if not vim.startswith(text, back) then
    return nil
  end
  text = text:sub(#back + 1)
  local stands = vim.endswith(text, front)
  text = stands and text:sub(1, #text - #front) or text
  if text == "" then
    return nil
  end
  return { text = text, replaced = stands and 0 or #front, tail = stands and #front or 0, item = item }
end

--- What is left of `suggestion` now that `typed` was; nil if the two disagree or nothing is left.
---@param suggestion midfill.Suggestion
---@param typed string
---@param after string what stood right of the cursor
---@param after_now string what stands there now
---@return midfill.Suggestion?
function M.advance(suggestion, typed, after, after_now)
  if not vim.startswith(suggestion.text, typed) then
    return nil
  end
  local text, closed = suggestion.text:sub(#typed + 1), #after_now - #after
  if after_now ~= after then
    -- A bracket or quote was typed and a plugin closed it: the suggestion closes it too, but only one of them may stay.
    local closing = after_now:sub(1, math.max(closed, 0))
    local paired = closing:match("^[%)%]}>\"'`]+$") and after_now:sub(closed + 1) == after
    if not paired or suggestion.replaced > 0 or not vim.endswith(text, closing) then
      return nil
    end
    text = text:sub(1, #text - closed)
  end
  if text == "" then
    return nil
  end
  return vim.tbl_extend("force", suggestion, { text = text, tail = suggestion.tail + closed })
end

--- The first word of `text`, with the white space before it.
---@param text string
---@return string
function M.word(text)
  local word = vim.fn.matchstr(text, [[^\_s*\%(\k\+\|\%(\k\@!\S\)\+\)]])
  return word ~= "" and word or text
end

--- The first line of `text`, or the second with the line break before it where the first is empty.
---@param text string
---@return string
function M.line(text)
  return assert(text:match("^\n?[^\n]*"))
end

return M
