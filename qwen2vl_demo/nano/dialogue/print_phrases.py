"""Wordings of the questions about printed pages and papers, in the notation of `phrases.py`."""

from qwen2vl_demo.nano.dialogue.phrases import _read

PAGE_PHRASES: dict[str, tuple[str, ...]] = {}

PAPER_PHRASES: dict[str, tuple[str, ...]] = _read("""
key: What is the {key}? | What's the {key}? | Which {key} does it (show/have/say)? | {key}? | Tell me the {key}. | Read
    the {key}. | What does it say for the {key}? | Give me the {key}. | What {key} is (given/printed/written/shown)? |
    The {key}, please. | What is written (at/next to/under/for) {key}? | What {key} do you see? | Say the {key}. | What
    is (its/the given/the printed) {key}? | I need the {key}. | Can you read the {key}? | Find the {key}. | Which {key}
    is it? | And the {key}? | What stands at {key}? | Look up the {key}. | What value has {key}? | Show me the {key}. |
    What is in the field {key}? | Copy the {key}.
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
    stand for? | Which key has the value {value}? | What kind of value is {value}? | What is {value} here? | Where does
    it say {value}? | In which field is {value}? | Which entry is {value}? | What is meant by {value}? | Which of the
    fields is {value}?
most expensive: (Which item/What) is the most expensive? | What costs (most/the most)? | What is the most expensive
    (item/thing)? | Which item costs (most/the most)? | Which item has the highest price? | What has the highest price?
    | Which is the dearest? | Name the most expensive (item/one). | What is the dearest item? | Which one is the most
    expensive? | What is the costliest? | For what does one pay most? | Find the most expensive item.
cheapest: (Which item/What) is the cheapest? | What costs (least/the least)? | What is the cheapest (item/thing)? |
    Which item costs (least/the least)? | Which item has the lowest price? | What has the lowest price? | Which one is
    the cheapest? | Name the cheapest (item/one). | What is the least expensive? | Which item is least expensive? |
    What is cheapest? | For what does one pay least? | Find the cheapest item.
count dishes: How many (items/dishes) are there? | How many (items/dishes) are on the menu? | Count the (items/dishes).
    | How many (items/things) does it list? | How many (items/dishes) do you see? | What is the number of
    (items/dishes)? | How many (items/dishes) can I (choose from/order)? | Number of items? | How many prices are
    there? | How many (items/things) are listed? | How many (items/dishes) do they (have/offer/sell)? | Tell me how
    many items there are.
cell: What is the {column} of {row}? | What is {row}'s {column}? | What does {row} have (for/in/under) {column}? | What
    is in the row {row} and the column {column}? | {column} of {row}? | Which {column} has {row}? | What does the table
    say for {row} (in/under) {column}? | Read the {column} of {row}. | What stands at {row} under {column}? | Tell me
    the {column} of {row}. | Find the {column} of {row}. | What is the {column} for {row}? | For {row}, what is the
    {column}? | Look up {column} for {row}. | What value has {row} in {column}? | In {column}, what is {row}? | Give
    the {column} of {row}.
cell at: What is in row {row}, column {column}? | What does row {row}, column {column} say? | Read row {row}, column
    {column}. | What is in column {column} of row {row}? | Row {row}, column {column}? | Which value is in row {row},
    column {column}? | What stands in row {row} and column {column}? | Tell me the cell in row {row}, column {column}.
    | What is the value of row {row} in column {column}? | Give me row {row}, column {column}. | What is the cell in
    column {column}, row {row}? | What do you read in row {row}, column {column}?
row has: Which row has {value} (in/under) {column}? | Whose {column} is {value}? | Which one has the {column} {value}?
    | Who has {value} (in/under) {column}? | In which row is {column} {value}? | For which row is the {column} {value}?
    | What has {value} in the column {column}? | Which row says {value} under {column}? | Find the row with {value} in
    {column}. | Where is the {column} {value}? | Name the row with {column} {value}.
row most: Which row has the (highest/largest/greatest) {column}? | What has the (highest/largest) {column}? | Who has
    the (highest/largest) {column}? | Whose {column} is the (highest/largest)? | Which one has the
    (highest/largest/most) {column}? | Where is {column} the (highest/largest)? | Name the row with the
    (highest/largest) {column}. | Which row is the (highest/largest) in {column}? | In which row is the {column}
    (highest/largest)? | For which row is the {column} greatest? | Find the (highest/largest) {column}: which row is
    it?
row least: Which row has the (lowest/smallest/least) {column}? | What has the (lowest/smallest) {column}? | Who has the
    (lowest/smallest) {column}? | Whose {column} is the (lowest/smallest)? | Which one has the (lowest/smallest/least)
    {column}? | Where is {column} the (lowest/smallest)? | Name the row with the (lowest/smallest) {column}. | Which
    row is the (lowest/smallest) in {column}? | In which row is the {column} (lowest/smallest)? | For which row is the
    {column} least? | Find the (lowest/smallest) {column}: which row is it?
row: Read the row of {row}. | What is in the row of {row}? | Read the row {row}. | What does the row {row} say? | Read
    all of {row}. | What does the table say about {row}? | What is written in the row {row}? | Copy the row of {row}. |
    Tell me the row of {row}. | Give me everything about {row}. | Which values has {row}? | Show me the line of {row}.
count rows: How many rows are there (below the header/)? | How many rows does (the/this) table have? | Count the rows.
    | How many rows do you see? | What is the number of rows? | How many rows has it? | Number of rows? | How many rows
    of data are there? | How many rows (can you count/are in the table)? | Tell me how many rows there are. | How many
    rows follow the header? | And how many rows are there?
count columns: How many columns are there? | How many columns does (the/this) table have? | Count the columns. | How
    many columns do you see? | What is the number of columns? | How many columns has it? | Number of columns? | How
    many columns (can you count/are in the table)? | Tell me how many columns there are. | How many columns make up the
    table? | And how many columns are there?
count fields: How many fields are there? | How many (fields/entries) does it have? | Count the fields. | How many
    fields do you see? | What is the number of fields? | How many keys are there? | Number of fields? | How many values
    are (given/filled in)? | How many fields are (shown/filled in)? | Tell me how many fields there are. | How many
    (entries/fields) are on it? | And how many fields are there?
count buttons: How many buttons are there? | How many buttons does it have? | Count the buttons. | How many buttons do
    you see? | What is the number of buttons? | How many buttons are (shown/in the window)? | Number of buttons? | How
    many buttons can I (press/click)? | Tell me how many buttons there are. | How many buttons has (it/the window)? |
    And how many buttons are there?
buttons: (Which/What) buttons are there? | What can I (click/press)? | Name the buttons. | What do the buttons say? |
    Read the buttons. | Which buttons do you see? | What is written on the buttons? | List the buttons. | Which buttons
    does it (have/show)? | What are the buttons? | Between which buttons can I choose? | Tell me the buttons. | Which
    buttons can I press?
message: What does the message say? | What does the (window/dialog) (ask/say)? | What is the message? | Read the
    message. | What am I (asked/told)? | What is written in the (window/dialog)? | Which message do you see? | What
    does it want to (know/tell me)? | What is the text of the message? | Tell me the message. | What message is shown?
title: What is the (title/heading)? | What does the (title/heading) say? | Read the (title/heading). | What is written
    at the top? | (Title/Heading)? | Tell me the (title/heading). | Which (title/heading) does it have? | What is it
    (called/titled)? | What does it say at the top? | What is the first line? | The (title/heading), please. | What
    stands at the top? | Give me the (title/heading). | How is it titled?
shop: What is the name of the shop? | What is the shop called? | Which shop is it from? | What is the shop's name? |
    Read the name of the shop. | What (shop/store) is this from? | From which (shop/store) is it? | What is the name of
    the store? | Where was it bought? | Which store is it? | What is written at the top? | Who issued the receipt? |
    What does the heading say? | What is the title?
copy: Copy it as key: value lines. | List all (fields/keys) with their values. | Write it as key: value. | Copy all
    keys and values. | Give me every line as key: value. | Transcribe it as key: value. | List every (entry/line) with
    its value. | Read all the (fields/entries). | Turn it into key: value lines. | List the keys and values. | Copy
    (everything/all entries) as key: value. | Extract the (fields/data). | Extract all keys and values. | Write down
    all entries with their values. | List what it says, one key: value a line.
what paper: What is this? | What kind of (paper/document/thing) is this? | What do you see? | What is shown here? |
    What is in the picture? | What type of (document/paper) is it? | What is it? | Describe the picture. | What kind of
    picture is this? | What does the picture show? | Say what this is. | Can you tell me what this is? | What have we
    here? | What am I looking at? | Which kind of document do you see?
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
    stay on {day}? | What is the closing time on {day}? | How late is it open on {day}? | Until what time is it open on
    {day}? | When does the shop close on {day}s? | Tell me when it closes on {day}. | {day}: when does it close?
hours on: When is it open on {day}? | What are the hours on {day}? | What are the opening hours on {day}? | Is it open
    on {day}? | From when to when is it open on {day}? | On {day}, when is it open? | Tell me the hours on {day}. |
    Read the hours for {day}. | What does it say for {day}? | What are {day}'s hours? | When can I come on {day}? |
    {day}? | Are they open on {day}?
closed day: On which day is it closed? | Which day is it closed? | When is it closed all day? | What day are they
    closed? | On what day is it not open? | On which day is it not open? | Which day is closed? | What is the closing
    day? | Tell me the day on which it is closed. | Is there a day on which it is closed?
""")
