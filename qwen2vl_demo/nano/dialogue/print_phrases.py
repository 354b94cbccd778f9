"""Wordings of the questions about printed pages and papers, in the notation of `phrases.py`."""

from qwen2vl_demo.nano.dialogue.phrases import _read

PAGE_PHRASES: dict[str, tuple[str, ...]] = _read("""
page: What does it say? | Read the text. | Copy this. | Transcribe the (text/page/picture/image). | What is written
    here? | Read it (all/out/aloud/to me/). | Write down what it says. | Can you read (this/it/the text/this page)? |
    What does the (page/text/picture/image) say? | Read everything (that is written/you see/). | Type out the text. |
    What is the (whole/full/) text? | What text is in the (picture/image)? | OCR. | OCR this (picture/image/page/text).
    | Copy the text (exactly/as it is/letter by letter/line by line/word for word/). | Extract the text (from the
    picture/from this image/). | What does this say? | Read (this/the page/the picture). | What can you read (here/)? |
    Repeat the text. | Give me the text. | Tell me what it says. | What is written (on it/in the picture/there)? | Put
    down all the text. | Note what is written. | I want the text, all of it. | Write the text out. | Write out all
    lines. | Read all lines. | What do the lines say? | The text, please. | Which text do you see? | Quote it. | Quote
    the text (in full/exactly/). | Could you copy all of it? | Transcribe (this/it). | Turn the picture into text. |
    What are the words (here/in it)? | Spell out the text. | Read me the text. | Say what is written here.
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
    of text do you see? | Can you count the lines? | Tell me how many lines there are. | How many lines are printed? |
    Of how many lines is it? | How many rows of text are there? | Number of lines? | How many lines does the text have?
    | How many lines can you read? | Say how many lines you see. | And how many lines are there? | In how many lines is
    it written? | How many lines long is the text?
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

PAPER_PHRASES: dict[str, tuple[str, ...]] = _read("""
key: What is the {key}? | What's the {key}? | Which {key} does it (show/have/say)? | {key}? | Tell me the {key}. |
    Read the {key}. | What does it say for the {key}? | Give me the {key}. | What {key} is
    (given/printed/written/shown)? | The {key}, please. | What is written (at/next to/under/for) {key}? | What {key}
    do you see? | Say the {key}. | What is (its/the given/the printed) {key}? | I need the {key}. | Can you read the
    {key}? | Find the {key}. | Which {key} is it? | And the {key}? | What stands at {key}? | Look up the {key}. | What
    value has {key}? | Show me the {key}. | What is in the field {key}? | Copy the {key}.
dish: How much is the {item}? | What does the {item} cost? | What is the price of the {item}? | How much does the
    {item} cost? | Price of the {item}? | How much for the {item}? | Tell me the price of the {item}. | What do they
    (want/take/ask/charge) for the {item}? | {item}? | What do I pay for the {item}? | How much is {item}? | What does
    {item} cost? | How expensive is the {item}? | The price of the {item}, please. | At what price do they sell the
    {item}? | What would the {item} cost me? | Read the price of the {item}. | And how much is the {item}?
costs: (Which item/What) costs {price}? | What can I (buy/get/have) for {price}? | What is sold for {price}? | Which
    item is {price}? | What is {price}? | Which one costs {price}? | Which (item/line) has the price {price}? | What
    costs exactly {price}? | For what do they want {price}? | Which item has a price of {price}? | Name what costs
    {price}. | What is it that costs {price}? | Find the item that costs {price}.
whose: Whose value is {value}? | What is {value}? | Which field (says/has/shows/contains) {value}? | What does {value}
    stand for? | Which key has the value {value}? | What kind of value is {value}? | What is {value} here? | Where
    does it say {value}? | In which field is {value}? | Which entry is {value}? | What is meant by {value}? | Which of
    the fields is {value}?
most expensive: (Which item/What) is the most expensive? | What costs (most/the most)? | What is the most expensive
    (item/thing)? | Which item costs (most/the most)? | Which item has the highest price? | What has the highest
    price? | Which is the dearest? | Name the most expensive (item/one). | What is the dearest item? | Which one is
    the most expensive? | What is the costliest? | For what does one pay most? | Find the most expensive item.
cheapest: (Which item/What) is the cheapest? | What costs (least/the least)? | What is the cheapest (item/thing)? |
    Which item costs (least/the least)? | Which item has the lowest price? | What has the lowest price? | Which one is
    the cheapest? | Name the cheapest (item/one). | What is the least expensive? | Which item is least expensive? |
    What is cheapest? | For what does one pay least? | Find the cheapest item.
count dishes: How many (items/dishes) are there? | How many (items/dishes) are on the menu? | Count the
    (items/dishes). | How many (items/things) does it list? | How many (items/dishes) do you see? | What is the number
    of (items/dishes)? | How many (items/dishes) can I (choose from/order)? | Number of items? | How many prices are
    there? | How many (items/things) are listed? | How many (items/dishes) do they (have/offer/sell)? | Tell me how
    many items there are.
cell: What is the {column} of {row}? | What is {row}'s {column}? | What does {row} have (for/in/under) {column}? |
    What is in the row {row} and the column {column}? | {column} of {row}? | Which {column} has {row}? | What does the
    table say for {row} (in/under) {column}? | Read the {column} of {row}. | What stands at {row} under {column}? |
    Tell me the {column} of {row}. | Find the {column} of {row}. | What is the {column} for {row}? | For {row}, what
    is the {column}? | Look up {column} for {row}. | What value has {row} in {column}? | In {column}, what is {row}? |
    Give the {column} of {row}.
cell at: What is in row {row}, column {column}? | What does row {row}, column {column} say? | Read row {row}, column
    {column}. | What is in column {column} of row {row}? | Row {row}, column {column}? | Which value is in row {row},
    column {column}? | What stands in row {row} and column {column}? | Tell me the cell in row {row}, column {column}.
    | What is the value of row {row} in column {column}? | Give me row {row}, column {column}. | What is the cell in
    column {column}, row {row}? | What do you read in row {row}, column {column}?
row has: Which row has {value} (in/under) {column}? | Whose {column} is {value}? | Which one has the {column} {value}?
    | Who has {value} (in/under) {column}? | In which row is {column} {value}? | For which row is the {column}
    {value}? | What has {value} in the column {column}? | Which row says {value} under {column}? | Find the row with
    {value} in {column}. | Where is the {column} {value}? | Name the row with {column} {value}.
row most: Which row has the (highest/largest/greatest) {column}? | What has the (highest/largest) {column}? | Who has
    the (highest/largest) {column}? | Whose {column} is the (highest/largest)? | Which one has the
    (highest/largest/most) {column}? | Where is {column} the (highest/largest)? | Name the row with the
    (highest/largest) {column}. | Which row is the (highest/largest) in {column}? | In which row is the {column}
    (highest/largest)? | For which row is the {column} greatest? | Find the (highest/largest) {column}: which row is
    it?
row least: Which row has the (lowest/smallest/least) {column}? | What has the (lowest/smallest) {column}? | Who has
    the (lowest/smallest) {column}? | Whose {column} is the (lowest/smallest)? | Which one has the
    (lowest/smallest/least) {column}? | Where is {column} the (lowest/smallest)? | Name the row with the
    (lowest/smallest) {column}. | Which row is the (lowest/smallest) in {column}? | In which row is the {column}
    (lowest/smallest)? | For which row is the {column} least? | Find the (lowest/smallest) {column}: which row is it?
row: Read the row of {row}. | What is in the row of {row}? | Read the row {row}. | What does the row {row} say? | Read
    all of {row}. | What does the table say about {row}? | What is written in the row {row}? | Copy the row of {row}.
    | Tell me the row of {row}. | Give me everything about {row}. | Which values has {row}? | Show me the line of
    {row}.
count rows: How many rows are there (below the header/)? | How many rows does (the/this) table have? | Count the rows.
    | How many rows do you see? | What is the number of rows? | How many rows has it? | Number of rows? | How many
    rows of data are there? | How many rows (can you count/are in the table)? | Tell me how many rows there are. | How
    many rows follow the header? | And how many rows are there?
count columns: How many columns are there? | How many columns does (the/this) table have? | Count the columns. | How
    many columns do you see? | What is the number of columns? | How many columns has it? | Number of columns? | How
    many columns (can you count/are in the table)? | Tell me how many columns there are. | How many columns make up
    the table? | And how many columns are there?
count fields: How many fields are there? | How many (fields/entries) does it have? | Count the fields. | How many
    fields do you see? | What is the number of fields? | How many keys are there? | Number of fields? | How many
    values are (given/filled in)? | How many fields are (shown/filled in)? | Tell me how many fields there are. | How
    many (entries/fields) are on it? | And how many fields are there?
count buttons: How many buttons are there? | How many buttons does it have? | Count the buttons. | How many buttons do
    you see? | What is the number of buttons? | How many buttons are (shown/in the window)? | Number of buttons? | How
    many buttons can I (press/click)? | Tell me how many buttons there are. | How many buttons has (it/the window)? |
    And how many buttons are there?
buttons: (Which/What) buttons are there? | What can I (click/press)? | Name the buttons. | What do the buttons say? |
    Read the buttons. | Which buttons do you see? | What is written on the buttons? | List the buttons. | Which
    buttons does it (have/show)? | What are the buttons? | Between which buttons can I choose? | Tell me the buttons.
    | Which buttons can I press?
message: What does the message say? | What does the (window/dialog) (ask/say)? | What is the message? | Read the
    message. | What am I (asked/told)? | What is written in the (window/dialog)? | Which message do you see? | What
    does it want to (know/tell me)? | What is the text of the message? | Tell me the message. | What message is shown?
title: What is the (title/heading)? | What does the (title/heading) say? | Read the (title/heading). | What is written
    at the top? | (Title/Heading)? | Tell me the (title/heading). | Which (title/heading) does it have? | What is it
    (called/titled)? | What does it say at the top? | What is the first line? | The (title/heading), please. | What
    stands at the top? | Give me the (title/heading). | How is it titled?
shop: What is the name of the shop? | What is the shop called? | Which shop is it from? | What is the shop's name? |
    Read the name of the shop. | What (shop/store) is this from? | From which (shop/store) is it? | What is the name
    of the store? | Where was it bought? | Which store is it? | What is written at the top? | Who issued the receipt?
    | What does the heading say? | What is the title?
copy: Copy it as key: value lines. | List all (fields/keys) with their values. | Write it as key: value. | Copy all
    keys and values. | Give me every line as key: value. | Transcribe it as key: value. | List every (entry/line) with
    its value. | Read all the (fields/entries). | Turn it into key: value lines. | List the keys and values. | Copy
    (everything/all entries) as key: value. | Extract the (fields/data). | Extract all keys and values. | Write down
    all entries with their values. | List what it says, one key: value a line.
what paper: What is this? | What kind of (paper/document/thing) is this? | What do you see? | What is shown here? |
    What is in the picture? | What type of (document/paper) is it? | What is it? | Describe the picture. | What kind
    of picture is this? | What does the picture show? | Say what this is. | Can you tell me what this is? | What have
    we here? | What am I looking at? | Which kind of document do you see?
whole: What does it say? | Read (it/this/everything). | Read the text. | What is written here? | What does the text
    say? | Read all of it. | Transcribe (it/this/the text). | Copy the text. | What is written on it? | Read it to me,
    line by line. | Read every line. | What is the text? | What does this say? | Write down what it says. | Read the
    whole (paper/text).
opens on: When does it open on {day}? | What time does it open on {day}? | At what time do they open on {day}? | When
    do they open on {day}? | From when is it open on {day}? | On {day}, when does it open? | When can I come on {day}?
    | What is the opening time on {day}? | How early is it open on {day}? | From what time is it open on {day}? | When
    does the shop open on {day}s? | Tell me when it opens on {day}. | {day}: when does it open?
closes on: When does it close on {day}? | What time does it close on {day}? | At what time do they close on {day}? |
    When do they close on {day}? | Until when is it open on {day}? | On {day}, when does it close? | How long can I
    stay on {day}? | What is the closing time on {day}? | How late is it open on {day}? | Until what time is it open
    on {day}? | When does the shop close on {day}s? | Tell me when it closes on {day}. | {day}: when does it close?
hours on: When is it open on {day}? | What are the hours on {day}? | What are the opening hours on {day}? | Is it open
    on {day}? | From when to when is it open on {day}? | On {day}, when is it open? | Tell me the hours on {day}. |
    Read the hours for {day}. | What does it say for {day}? | What are {day}'s hours? | When can I come on {day}? |
    {day}? | Are they open on {day}?
closed day: On which day is it closed? | Which day is it closed? | When is it closed all day? | What day are they
    closed? | On what day is it not open? | On which day is it not open? | Which day is closed? | What is the closing
    day? | Tell me the day on which it is closed. | Is there a day on which it is closed?
""")
