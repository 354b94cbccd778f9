"""Wordings of the questions about printed pages and papers, in the notation of `phrases.py`."""

from qwen2vl_demo.nano.dialogue.phrases import _read

PAGE_PHRASES: dict[str, tuple[str, ...]] = _read("""
page: What does it say? | Read the text. | Copy this. | Transcribe the (text/page/picture/image). | What is
    written here? | Read it (all/out/aloud/to me/). | Write down what it says. | Can you read (this/it/the text/this
    page)? | What does the (page/text/picture/image) say? | Read everything (that is written/you see/). | Type out the
    text. | What is the (whole/full/) text? | What text is in the (picture/image)? | OCR. | OCR this
    (picture/image/page/text). | Copy the text (exactly/as it is/letter by letter/line by line/word for word/). |
    Extract the text (from the picture/from this image/). | What does this say? | Read (this/the page/the picture). |
    What can you read (here/)? | Repeat the text. | Give me the text. | Tell me what it says. | What is written (on
    it/in the picture/there)? | Put down all the text. | Note what is written. | I want the text, all of it. | Please
    write the text out. | Write out all lines. | Read all lines. | What do the lines say? | The text, please. | Which
    text do you see? | Quote it. | Quote the text (in full/exactly/). | Could you copy all of it? | Transcribe
    (this/it). | Turn the picture into text. | What are the words (here/in it)? | Spell out the text. | Read me the
    text. | Say what is written here.
line: Read the {nth} line. | What does the {nth} line say? | What is (written/printed) in the {nth} line? | Copy the
    {nth} line. | What is the {nth} line? | Give me the {nth} line. | The {nth} line, please. | What does it say in the
    {nth} line? | What stands in the {nth} line? | Read out the {nth} line. | Tell me what the {nth} line says. | Quote
    the {nth} line. | Can you read the {nth} line? | What text is in the {nth} line? | Transcribe the {nth} line. | Only
    the {nth} line: what does it say? | Write down the {nth} line. | What can you read in the {nth} line? | {nth} line?
    | And the {nth} line? | Which words are in the {nth} line? | Just the {nth} line. | I need the {nth} line. | What do
    you read in the {nth} line? | Type the {nth} line.
line at: What does it say at the {place}? | What is written at the {place}? | Read the text at the {place}. | Read the
    line at the {place}. | What stands at the {place}? | Which text is at the {place}? | Copy the line at the {place}. |
    What does the {place} line say? | Read the {place} line. | What is the text at the {place}? | What is printed at the
    {place}? | What can you read at the {place}? | Give me the line at the {place}. | Tell me what is written at the
    {place}. | What does it read at the {place}? | Transcribe the {place} line. | Which line is at the {place}? | Look
    at the {place}: what does it say? | What does the line at the {place} say? | Quote the line at the {place}. | What
    text do you see at the {place}?
heading: What is the heading? | What is the title? | Read the heading. | What does the (heading/title/headline) say? |
    Read the (title/headline). | What is the headline? | Copy the (heading/title). | How is it headed? | What is it
    called, says the heading? | Which (heading/title) does it have? | Give me the (title/heading). | What is written as
    the (heading/title)? | What does it say in the (heading/title)? | Tell me the (title/heading/headline). | The
    (heading/title), please. | What is the page's (title/heading)? | What title do you see? | What is the text above the
    others, in large letters? | Which headline is there? | And the (heading/title)? | Quote the
    (heading/title/headline).
line in colour: Which line is {colour}? | Read the {colour} line. | What is written in {colour}? | What does the
    {colour} (line/text) say? | Read the {colour} text. | What does it say in {colour}? | Copy the {colour} line. |
    Which text is {colour}? | What is printed in {colour}? | What stands there in {colour}? | Give me the {colour} line.
    | What is the {colour} text? | Tell me what is written in {colour}. | Which line do you see in {colour}? | What text
    has the colour {colour}? | The {colour} line, please. | And the {colour} line? | Quote the line in {colour}. | What
    can you read in {colour}? | Which line is in {colour}?
line beginning: Read the line that begins with "{text}". | What does the line that begins with "{text}" say? | Which
    line begins with "{text}"? | Copy the line beginning with "{text}". | Read the line that starts with "{text}". |
    Which line starts with "{text}"? | What line begins with "{text}"? | Give me the line that starts with "{text}". |
    One line begins with "{text}". What does it say? | How does the line go on that begins with "{text}"? | The line
    that begins with "{text}", please. | What does it say in the line starting with "{text}"? | Quote the line that
    starts with "{text}". | Find the line that begins with "{text}" and read it. | A line begins with "{text}": read it.
    | What is the line that starts with "{text}"? | Write down the line that begins with "{text}". | Complete the line:
    "{text}". | Transcribe the line that begins with "{text}". | Tell me the line that begins with "{text}". | What is
    the whole line after "{text}"?
line with: Read the line with "{text}". | Which line contains "{text}"? | In which line is "{text}"? | Which line has
    the word "{text}"? | What does the line with "{text}" say? | Copy the line that has "{text}" in it. | Find "{text}"
    and read its line. | Give me the line with "{text}". | Which line is "{text}" in? | Read the whole line that has
    "{text}". | What line does "{text}" stand in? | Quote the line with "{text}". | In what line do you see "{text}"? |
    The line with "{text}", please. | Which line says "{text}"? | Where does it say "{text}"? | Read where it says
    "{text}". | Write down the line containing "{text}". | What is written around "{text}"? | Transcribe the line with
    "{text}". | Tell me the line with "{text}". | Read the line in which "{text}" stands.
count lines: How many lines are there? | How many lines do you see? | Count the lines. | How many lines of text are
    there? | How many lines does it have? | What is the number of lines? | How many lines has the text? | How many lines
    of text do you see? | Can you count the lines? | Tell me how many lines there are. | How many lines (are/were)
    printed? | Of how many lines is it? | How many rows of text are there? | Number of lines? | How many lines does the
    text have? | How many lines can you read? | Say how many lines you see. | And how many lines are there? | In how
    many lines is it written? | How many lines long is the text?
count words: How many words are there? | How many words do you see? | Count the words. | How many words does it have? |
    What is the number of words? | How many words can you read? | How many words are written (here/there)? | How many
    words does the text have? | Number of words? | Tell me how many words there are. | Can you count the words? | Of how
    many words is it? | How many words does it say? | How many words has the text? | Say how many words there are. | And
    how many words are there? | How many words long is it? | How many words make up the text?
count words of line: How many words are in the {nth} line? | How many words does the {nth} line have? | Count the words
    in the {nth} line. | How many words has the {nth} line? | What is the number of words in the {nth} line? | How many
    words do you see in the {nth} line? | Tell me how many words the {nth} line has. | How many words stand in the {nth}
    line? | In the {nth} line, how many words are there? | Number of words in the {nth} line? | How many words make up
    the {nth} line? | Can you count the words of the {nth} line? | The {nth} line has how many words? | How many words
    can you count in the {nth} line? | Say how many words are in the {nth} line. | How many words long is the {nth}
    line? | How many words are printed in the {nth} line?
is text: Is there any text? | Is there a word in the picture? | Do you see any text? | Is anything written here? | Can
    you see some text? | Does the picture contain text? | Is something written in this image? | Does it have any text? |
    Is there something to read? | Are there any (words/letters)? | Do you find any writing? | Is any text visible? | Can
    you read anything here? | Are there letters in it? | Is there (some/any) writing? | Has it any text? | Is text
    there? | Is there print in the picture? | Do you see (writing/letters/words)? | Tell me if there is any text. | Is
    there any text to read? | Any text here?
says: Is there the word "{text}"? | Does it say "{text}"? | Does it say {text}? | Do you find the word "{text}"? | Is
    "{text}" in the text? | Does the text contain "{text}"? | Is the word "{text}" there? | Does "{text}" appear? | Does
    the word "{text}" appear (in it/here/)? | Can you find "{text}"? | Is "{text}" written (here/there/anywhere)? | Do
    you see the word "{text}"? | Do you see {text} anywhere? | Is there a word "{text}"? | Does it have the word {text}?
    | Does it mention "{text}"? | Is "{text}" one of the words? | Does the page say "{text}"? | Is {text} mentioned? |
    Check if it says "{text}". | Can you read "{text}" (anywhere/somewhere/)? | Tell me if "{text}" is there. | Is the
    word {text} in it? | Does any line say "{text}"? | Look for "{text}". Is it there? | Do the words include "{text}"?
    | Search for "{text}". Is it in the text? | Would I find "{text}" in it? | Does "{text}" stand there? | Do you read
    "{text}" (here/somewhere)?
largest word: Which word is the largest? | What is the largest word? | Which word is largest? | Read the largest word. |
    Which word is the biggest? | What is the biggest word? | Which word is printed larger? | Which word is larger than
    the others? | Read the big word. | What does the large word say? | Which word has the largest letters? | What word
    is in large print? | Which word stands out by its size? | The largest word, please. | Which is the largest word? |
    Tell me the largest word. | One word is larger. Which one? | What is the word in large letters? | Copy the largest
    word. | Which word is printed the largest? | Give me the biggest word. | And the largest word?
word in colour: Which word is {colour}? | What is the {colour} word? | Read the {colour} word. | Which word is printed
    in {colour}? | Which word is in {colour}? | What word is {colour}? | What does the {colour} word say? | Which word
    has the colour {colour}? | Which word is written in {colour}? | What word do you see in {colour}? | The {colour}
    word, please. | Tell me the {colour} word. | One word is {colour}. Which one? | Give me the {colour} word. | What
    word is written in {colour}? | Copy the {colour} word. | Which of the words is {colour}? | Name the {colour} word. |
    What is the word in {colour}? | And the {colour} word? | Find the {colour} word.
word at: Which word is at the {place}? | What word is at the {place}? | Read the word at the {place}. | What is the word
    at the {place}? | Which word stands at the {place}? | Which word do you see at the {place}? | What single word is at
    the {place}? | Name the word at the {place}. | What does the word at the {place} say? | Tell me the word at the
    {place}. | The word at the {place}, please. | Give me the word at the {place}. | Copy the word at the {place}. |
    Which word is printed at the {place}? | What word is written at the {place}? | Which one word is at the {place}? |
    And the word at the {place}?
end word: What is the {which} word? | Which word is the {which}? | Read the {which} word. | Which word comes {which}? |
    Tell me the {which} word. | What is the very {which} word? | The {which} word, please. | Give me the {which} word. |
    Copy the {which} word. | What is the {which} word of the text? | Which is the {which} word of the text? | What is
    the {which} word on the page? | Name the {which} word. | What does the {which} word say? | What {which} word do you
    read? | Which word is {which} in the text? | And the {which} word? | Say the {which} word.
end word of line: What is the {which} word of the {nth} line? | Which word is the {which} in the {nth} line? | Read the
    {which} word of the {nth} line. | Which word is {which} in the {nth} line? | What is the {which} word in the {nth}
    line? | Tell me the {which} word of the {nth} line. | The {which} word of the {nth} line, please. | Give me the
    {which} word in the {nth} line. | Copy the {which} word of the {nth} line. | In the {nth} line, what is the {which}
    word? | Name the {which} word of the {nth} line. | In the {nth} line, which word comes {which}? | Which word comes
    {which} in the {nth} line? | What {which} word does the {nth} line have? | Which is the {nth} line's {which} word? |
    What is the {nth} line's {which} word? | Say the {which} word in the {nth} line.
after: What comes after "{text}"? | Which word comes after "{text}"? | What follows "{text}"? | What is the word after
    "{text}"? | Which word follows "{text}"? | What word is after "{text}"? | Read the word after "{text}". | What
    stands after "{text}"? | What is next after "{text}"? | And after "{text}"? | What does it say after "{text}"? |
    Which is the next word after "{text}"? | What is to the right of "{text}"? | Tell me the word after "{text}". | What
    is written right after "{text}"? | The word after "{text}", please. | Give me the word that follows "{text}". |
    After "{text}", what comes next? | What comes next after "{text}"? | Which word do you see behind "{text}"? | Find
    "{text}". What is the next word?
before: What comes before "{text}"? | Which word comes before "{text}"? | What stands before "{text}"? | What is the
    word before "{text}"? | Which word is before "{text}"? | What word is before "{text}"? | Read the word before
    "{text}". | What is in front of "{text}"? | What does it say before "{text}"? | And before "{text}"? | Which word
    precedes "{text}"? | What precedes "{text}"? | What is to the left of "{text}"? | Tell me the word before "{text}".
    | What is written right before "{text}"? | The word before "{text}", please. | Give me the word that precedes
    "{text}". | Before "{text}", what does it say? | Which word stands in front of "{text}"? | Find "{text}". What is
    the word before it?
""")

PAPER_PHRASES: dict[str, tuple[str, ...]] = {}
