"""The wordings of nano's questions and its small talk, as plain tables.

`PHRASES[key]` holds the wordings of one question. Fields in braces are filled in by the caller; of the alternatives
between parentheses, separated by slashes, one is picked. `CHAT` pairs the wordings of a remark with nano's fixed
answer. `wording.py` picks among the wordings and decides which are held out from training.
"""


def _read(table: str) -> dict[str, tuple[str, ...]]:
    """Parse lines of `key: wording | wording ...`, with continuation lines indented."""
    entries: dict[str, tuple[str, ...]] = {}
    for entry in table.strip().replace("\n    ", " ").splitlines():
        key, wordings = entry.split(": ", 1)
        entries[key] = tuple(wording.strip() for wording in wordings.split(" | "))
    return entries


PHRASES = _read("""
what: What is this? | What do you see? | What shape is this? | What is in (the/this) picture? | What is shown here? |
    What is it? | What's this? | What can you see in (this/the) image? | Which shape is it? | Name the shape. | What
    does (the/this) (picture/image) show? | What object is this? | Tell me what this is. | What's in the image? | What
    is this called? | What is (depicted/drawn/pictured) here? | What thing is this? | Can you (tell me/say) what this
    is? | Name (this/it). | What kind of (thing/object) is (this/it)? | Identify this. | What am I looking at? | What
    would you call this? | What have we here? | Say what this is. | Do you know what this is? | And what is this? | What
    might this be? | Any idea what this is? | Tell me its name. | What is the name of this? | Do you recognise
    (it/this)? | What is that (thing/)? | What am I seeing (here/)? | What can this be? | Can you name (this/it)? | What
    does it look like?
describe: Describe the picture. | What do you see? | What is in the picture? | Tell me about this picture. | Describe
    this image. | What is shown here? | What can you see? | List everything (you see/in the picture/there is). | What's
    in the image? | Describe what you see. | Give a (short/detailed/) description of the (picture/image). | What does
    the (image/picture) show? | Describe the scene. | What's in this picture? | Can you describe this (picture/image)? |
    Caption this (image/picture). | Describe it in (one sentence/detail/a few words). | What is in this image? |
    Describe this (picture/image) in detail. | What (objects/things) are (in the picture/there/in this image)? | What do
    we have here? | Write a caption. | Describe everything (you see/in this picture). | Tell me (everything you see/what
    is in the picture/what you see). | What is going on in this (picture/image)? | (Describe/Caption) it. | What is
    there to see? | What is on (the/this) (picture/image)? | Give me a (short/detailed/) (description/summary). |
    Explain what you see. | Say what is (there/in it/in this picture). | What all do you see? | Please describe what is
    here. | Tell me what you can see (here/). | Sum it up. | Walk me through the (picture/image). | What happens in this
    picture? | Tell me all you (see/can see). | What do you notice (here/)? | What is (drawn/shown) in the
    (picture/image)? | Describe all of it. | What does it show? | What would you say is in (the/this) (picture/image)? |
    A (short/detailed/) description, please. | Describe the (picture/image) in detail. | What all is in (the/this)
    (picture/image)? | What all can you see? | What is to be seen? | Make a (list/caption/description). | In detail,
    what do you see? | What do you observe? | What catches your eye? | Name (everything/all that you see). | What is all
    this? | Report what you see. | What do you recognise (here/in the picture)? | What do you make out? | Which things
    do you see (here/)? | Note all that you see. | What do you find (here/in the picture)? | Look closely. What is
    there? | Take a look: what is in it? | Go through the picture. | What can one see (here/)? | What should I see here?
    | Put (it/the picture) into words. | What strikes you (here/)? | Be brief: what is in it? | Name the things (in the
    picture/you see). | What did you notice? | What is it that you see? | What do you spot (here/)? | What does one see
    in the (picture/image)? | What things does the (picture/image) show? | What all does the (picture/image) show? |
    What all is there?
colour: What colour is the {name}? | Which colour is the {name}? | What is the colour of the {name}? | What colour does
    the {name} have? | Tell me the colour of the {name}. | The {name} is what colour? | What's the colour of the {name}?
    | Name the colour of the {name}. | Which colour does the {name} have? | In what colour is the {name}
    (drawn/painted/shown)? | What colour do you see on the {name}? | Colour of the {name}? | What colour would you say
    the {name} is? | What is the {name}'s colour? | How is the {name} coloured? | What colour has the {name}? | What
    colour is that {name}? | Do you know the colour of the {name}? | And what colour is the {name}? | Say which colour
    the {name} has. | What colour did they paint the {name}? | Which colour would you give the {name}? | The colour of
    the {name}, please.
what kind: (What/Which) {kind} is this? | (What/Which) {kind} do you see (here/)? | What kind of {kind} is (this/it)? |
    Which {kind} is (shown/drawn) here? | Name (this/the) {kind}. | What {kind} is (it/in the picture)? | Tell me what
    {kind} this is.
colours: What colour are the {names}? | Which colours are the {names}? | What colours do the {names} have? | What are
    the colours of the {names}? | What colours are the {names}? | Tell me the colours of the {names}.
colour at: What colour is the shape {place}? | Which colour is the shape {place}? | What is the colour of the
    (shape/object/thing) {place}? | What colour is the object {place}? | What colour is the thing {place}? | What colour
    do you see {place}? | Tell me the colour of the (shape/object/thing) {place}. | Which colour (does the shape {place}
    have/has the shape {place})? | What colour is the one {place}? | And what colour is the thing {place}? | Say the
    colour of the (shape/object/thing) {place}. | What colour has the (shape/object/thing) {place}? | In what colour is
    the (shape/thing) {place}? | The colour of what is {place}? | The thing {place} is what colour?
is colour: Is the {name} {colour}? | Is the colour of the {name} {colour}? | Do you see the {name} in {colour}? | Does
    the {name} have the colour {colour}? | The {name} is {colour}, right? | Is that {name} {colour}? | Is the {name}
    (drawn/shown/painted) in {colour}? | Would you say the {name} is {colour}? | Is it true that the {name} is {colour}?
    | Is the {name} (really/actually) {colour}? | The {name} is {colour}, isn't it? | Is the {name} a {colour} one? |
    Does the {name} look {colour}? | Tell me if the {name} is {colour}. | Is it a {colour} {name}? | Could you say if
    the {name} is {colour}? | Is {colour} the colour of the {name}? | Isn't the {name} {colour}? | The {name} is
    {colour}, is it not? | The {name} looks {colour}, doesn't it? | The {name} is {colour}, correct? | So the {name} is
    {colour}? | Am I right that the {name} is {colour}? | Say if the {name} is {colour}. | Can it be that the {name} is
    {colour}? | Is this {name} {colour}? | I think the {name} is {colour}. Is it? | Do you agree that the {name} is
    {colour}? | Check if the {name} is {colour}. | The {name} is {colour}, is that right?
shape of: What shape is {colour}? | Which shape is {colour}? | What is the {colour} shape? | What is the {colour} thing?
    | What is the shape of the {colour} (object/thing/one)? | Which object is {colour}? | What's the {colour} shape? |
    What shape does the {colour} (thing/object) have? | Name the {colour} shape. | What kind of shape is the {colour}
    one? | What is the {colour} (object/one)? | Tell me which shape is {colour}. | And what shape is {colour}? | Say
    what shape the {colour} (thing/one/object) is. | Which one is {colour}? | What would you call the {colour} shape? |
    Which shape do you see in {colour}? | What shape is the {colour} one? | What is the {colour} object called? | Which
    thing is {colour}? | Which shape is the {colour} one? | Tell me what the {colour} thing is. | What thing is
    {colour}? | What is it that is {colour}? | The {colour} thing, what is it? | What would you call the {colour} thing?
    | Say what the {colour} thing is. | Name the {colour} (thing/one/object).
shape at: What shape is {place}? | Which shape is {place}? | What is the shape {place}? | Name the shape {place}. | What
    kind of shape is {place}? | Which shape do you see {place}? | Tell me which shape is {place}. | What shape (do you
    see/can you see) {place}? | Which shape (stands/lies) {place}? | And which shape is {place}? | What is the shape
    {place} called? | Say what shape is {place}. | Which shape can you (see/find) {place}? | What would you call the
    shape {place}?
thing at: Which thing is {place}? | What is the thing {place}? | Name the thing {place}. | What thing do you see
    {place}? | Which object do you see {place}? | Which object is {place}? | What object is {place}? | Which thing do
    you see {place}? | What is the object {place}? | What kind of (thing/object) is {place}? | Name the object {place}.
    | Tell me which (thing/object) is {place}. | Which (thing/object) (stands/lies) {place}? | Say what thing is
    {place}. | And which thing is {place}? | What is the name of the (thing/object) {place}? | What would you call the
    (thing/object) {place}? | Which thing can you see {place}? | Do you know what the thing {place} is? | What thing can
    you see {place}? | Name the (thing/object) you see {place}. | Which object can you see {place}? | What object do you
    see {place}? | Which thing is it {place}? | What is the (thing/object) {place} called? | Tell me what (thing/object)
    is {place}.
size: Is the {name} big or small? | How big is the {name}? | What size is the {name}? | Is the {name} small or big? |
    What is the size of the {name}? | How large is the {name}? | Is the {name} large or small? | Tell me how big the
    {name} is. | And how big is the {name}? | What is the {name}'s size? | Would you call the {name} big or small? | Is
    that a big or a small {name}? | Which size does the {name} have? | Say if the {name} is big or small.
count all: How many shapes are there? | How many objects are there? | How many things are there? | How many shapes do
    you see? | How many objects do you see? | How many things do you see? | Count the shapes. | Count the objects. |
    Count the things. | How many shapes are in the picture? | How many objects are in the picture? | How many things are
    in the picture? | How many shapes can you see? | How many objects can you see? | How many things can you see? | What
    is the number of shapes? | What is the number of objects? | What is the number of things? | How many shapes does the
    picture have? | How many objects does the picture have? | How many things does the picture have? | How many are
    there? | Count everything you see. | How many shapes in total? | How many shapes are there in this image? | What is
    the count of things? | How many things are here? | How many objects are here? | How many shapes are here? | How many
    objects are in it? | How many things are in it? | Give me the number of things. | Give me the number of objects.
count: How many {names} are there? | How many {names} do you see? | Count the {names}. | How many {names} can you see? |
    How many {names} are in the (picture/image)? | What is the number of {names}? | How many {names}? | How many {names}
    does the (picture/image) (show/have/contain)? | Tell me how many {names} there are. | How many {names} are in this
    (image/picture)? | Can you count the {names}? | Number of {names}? | How many {names} (are shown/are drawn/do you
    count/can you find)? | What is the count of {names}? | Count (all/how many) {names}. | How many {names} do we have
    (here/in the picture)? | And how many {names} are there? | How many {names} have you got? | What number of {names}
    do you see? | Say how many {names} you see. | How many {names} are visible? | How many {names} would you count? |
    The number of {names}, please. | Do you know how many {names} there are? | How many of them are {names}? | How many
    are {names}? | How many of these are {names}? | Could you count the {names}? | Of the things here, how many are
    {names}? | Count how many {names} there are. | Give me the number of {names}. | How many {names} can be seen? | How
    many {names} would you say there are?
exists: Is there {a}? | Do you see {a}? | Is there {a} in the (picture/image)? | Can you see {a}? | Does the
    (picture/image) show {a}? | Is {a} in the picture? | Can you find {a}? | Is there {a} in this (image/picture)? | Is
    {a} there? | Do you see {a} (anywhere/somewhere)? | Does (this/the) (image/picture) contain {a}? | Is there {a}
    (here/anywhere/somewhere)? | Do you (find/spot) {a}? | Is {a} (shown/visible/present)? | Does it (show/have/contain)
    {a}? | Are you able to see {a}? | Have you seen {a}? | Could there be {a}? | Is {a} among them? | Tell me if there
    is {a}. | Is there {a} to be seen? | And is there {a}? | Did you see {a}? | Is there really {a}? | Do we have {a}
    (here/)? | Would you say there is {a}? | Look for {a}. | Might there be {a}? | Can you spot {a} (here/)? | Could you
    see {a}? | Does the (image/picture) have {a}? | Do we see {a}? | Is {a} in it? | Is {a} there (too/)? | Are you sure
    there is {a}? | There is {a}, right? | There is {a}, isn't there? | Isn't there {a}? | There is {a}, is there not? |
    You see {a}, don't you? | Am I right that there is {a}? | So there is {a}? | Say if there is {a}. | Is there not
    {a}? | There is {a}, correct? | I think there is {a}. Is there? | Check if there is {a}. | Do you agree that there
    is {a}? | You can see {a}, can't you?
where: Where is the {name}? | Where do you see the {name}? | Where in the (picture/image) is the {name}? | In which part
    of the picture is the {name}? | Where can I (find/see) the {name}? | Where's the {name}? | Find the {name}. | Tell
    me where the {name} is. | What is the (position/location/place) of the {name}? | Where is the {name} in (this/the)
    (image/picture)? | At what place is the {name}? | In what part of the (image/picture) (is/do you see/can I find) the
    {name}? | In which (corner/area/region/place) (is/do you see/can I find) the {name}? | Where does the {name}
    (stand/lie)? | Where (would/did) you (find/see) the {name}? | The {name} is where? | Where is the {name}
    (located/placed/drawn/shown)? | In which part (is/do you see) the {name}? | Do you know where the {name} is? | And
    where is the {name}? | Whereabouts is the {name}? | Show me where the {name} is. | Say where the {name} is. | Which
    part of the (picture/image) holds the {name}? | Where did they put the {name}? | Where should I look for the {name}?
    | Where exactly is the {name}? | Where on the (picture/image) is the {name}? | Can you (find/see) where the {name}
    is? | Where might I find the {name}? | Could you tell me where the {name} is? | At which place is the {name}? | In
    which spot is the {name}? | At what (spot/position) is the {name}? | Point out where the {name} is. | What place is
    the {name} at? | Where could the {name} be? | Where does one find the {name}? | In what place do you see the {name}?
    | At what spot is the {name}? | On which side is the {name}? | At what point in the picture is the {name}? | At
    which place do you see the {name}? | What place has the {name}? | At what place do I find the {name}? | At what
    position is the {name}?
at: What is {place}? | What do you see {place}? | What is there {place}? | What is {place} of the picture? | Is there
    anything {place}? | What can you see {place}? | What's {place}? | What (stands/lies) {place}? | Tell me what is
    {place}. | Name what is {place}. | (Do you see/Can you see) anything {place}? | Is (anything/something) {place}? |
    What (do we have/can be seen/is shown/is drawn) {place}? | Is there something {place}? | What is to be seen {place}?
    | And what is {place}? | Say what is {place}. | What is it that I see {place}? | What can I (see/find) {place}? |
    What is standing {place}? | Is there a thing {place}? | What did they (put/draw) {place}? | Does anything
    (stand/lie) {place}? | Describe what is {place}. | What is located {place}? | What thing is it that is {place}? |
    What is it {place}? | Is it empty {place}? | What is (to be found/placed/found) {place}? | What will I (see/find)
    {place}? | What would I (see/find) {place}? | Name whatever is {place}. | And {place}, what is there? | What does
    one (see/find) {place}?
relation: Where is the {name} compared to the {other}? | Where is the {name} relative to the {other}? | Where is the
    {name} as seen from the {other}? | On which side of the {other} is the {name}? | How is the {name} placed relative
    to the {other}? | Where does the {name} (stand/lie) (relative/compared) to the {other}? | What is the position of
    the {name} (relative/compared) to the {other}? | Where is the {name} with respect to the {other}? | On what side of
    the {other} (is/do you see/lies/stands) the {name}? | Is the {name} to the left or to the right of the {other},
    above or below? | In which direction from the {other} is the {name}? | From the {other}, where is the {name}? |
    Which side of the {other} is the {name} on? | And where is the {name}, seen from the {other}? | Seen from the
    {other}, where is the {name}? | Where do you see the {name} when you start at the {other}? | Looking from the
    {other}, where is the {name}? | Which way is it from the {other} to the {name}? | In what direction is the {name}
    from the {other}? | Compared to the {other}, where is the {name}? | Where would you say the {name} is from the
    {other}? | How do the {name} and the {other} lie? | Say where the {name} is, seen from the {other}. | On what side
    is the {name} of the {other}? | In which direction does the {name} lie from the {other}? | Starting at the {other},
    which way is the {name}? | If I stand at the {other}, where is the {name}? | Going from the {other} to the {name},
    which way is it? | Which way from the {other} is the {name}? | From the {other} to the {name}, which direction is
    it? | How do I get from the {other} to the {name}? | What direction is it from the {other} to the {name}? | Is the
    {name} above, below, left or right of the {other}? | Which way do I go from the {other} to (reach/find) the {name}?
    | From the {other}, which way is the {name}? | What is the direction from the {other} to the {name}? | In which
    direction do I go from the {other} to the {name}? | Which direction leads from the {other} to the {name}? | If you
    go from the {other} to the {name}, which way do you go? | What way is the {name} from the {other}? | Starting from
    the {other}, where is the {name}? | What direction is the {name} from the {other}? | Which direction is it from the
    {other} to the {name}? | I am at the {other}. Where is the {name}? | What way do I go from the {other} to the
    {name}? | To which side of the {other} is the {name}? | Which way from the {other} do I find the {name}?
is relation: Is the {name} {relation} the {other}? | Do you see the {name} {relation} the {other}? | Does the {name}
    (stand/lie) {relation} the {other}? | Can you see the {name} {relation} the {other}? | Is the {name}
    (placed/located/drawn) {relation} the {other}? | The {name} is {relation} the {other}, right? | Would you say the
    {name} is {relation} the {other}? | Is it true that the {name} is {relation} the {other}? | Is that {name}
    {relation} the {other}? | Do you (find/spot) the {name} {relation} the {other}? | The {name} is {relation} the
    {other}, isn't it? | Do we see the {name} {relation} the {other}? | Tell me if the {name} is {relation} the {other}.
    | Is the {name} really {relation} the {other}? | Could the {name} be {relation} the {other}? | Does it show the
    {name} {relation} the {other}? | And is the {name} {relation} the {other}? | Is it the {name} that is {relation} the
    {other}? | Is the {name} somewhere {relation} the {other}? | The {name} is {relation} the {other}, is it not? | The
    {name} is {relation} the {other}, is that right? | Isn't the {name} {relation} the {other}? | The {name} stands
    {relation} the {other}, doesn't it? | Am I right that the {name} is {relation} the {other}? | So the {name} is
    {relation} the {other}? | Can it be that the {name} is {relation} the {other}? | Say if the {name} is {relation} the
    {other}. | Check if the {name} is {relation} the {other}. | I think the {name} is {relation} the {other}. Is it? |
    The {name} is {relation} the {other}, correct? | Do you agree that the {name} is {relation} the {other}? | The
    {name} lies {relation} the {other}, doesn't it? | It is the {name} that is {relation} the {other}, right? | Is the
    thing {relation} the {other} the {name}?
box: Give the bounding box of the {name}. | Detect the {name}. | Where exactly is the {name}? Give (the/its) box. | Draw
    a box around the {name}. | Box the {name}. | Give me the (bounding/) box of the {name}. | Locate the {name} (with a
    box/). | Mark the {name} (with a box/). | Show me the box around the {name}. | Put a box around the {name}. | What
    is the bounding box of the {name}? | Find the {name} and (give/draw) its box. | Output the bounding box of the
    {name}. | Where is the {name}? Give its (bounding/) box. | (Draw/Give/Show) the box of the {name}. | What are the
    coordinates of the {name}? | (Detect/Locate) the {name} in (the/this) (picture/image). | Where is the {name}? Draw a
    box. | Can you (box/mark/detect) the {name}? | Mark the {name}. | Locate the {name} with a box. | Put a (frame/box)
    around the {name}. | Give me the box of the {name}. | The box of the {name}, please. | Frame the {name}. | Give the
    coordinates of the {name}. | Show me the {name} with a box.
region: What is in {region}? | What is {region}? | {region} What is this? | What is this: {region} | {region} | What do
    you see in {region}? | (Name/Describe) the thing in {region}. | {region} What is it? | What is this? {region} | What
    does {region} show? | Which thing is in {region}? | What is at {region}? | Describe {region}. | {region} Name it. |
    What can you see in {region}? | {region} What is (here/there/in the box/in this region/in this part)? | What is the
    thing in {region}? | Tell me what is in {region}. | What is shown in {region}? | {region} What do you see (here/)? |
    (What is/What's) in the (box/region) {region}? | Look at {region}: what is (it/this/there)? | And what is in
    {region}? | And {region}? | What's {region}?
region colour: What colour is the thing in {region}? | {region} What colour is (it/this)? | What colour is {region}? |
    Which colour is {region}? | What is the colour of {region}? | What colour is this? {region} | {region} Which colour
    is (it/this)? | Name the colour of {region}. | And what colour is {region}? | What colour does {region} have? |
    {region} Its colour? | Tell me the colour of {region}. | The colour of {region}? | What colour is (it/the shape/the
    object) in {region}?
read: What does it say? | Read the text. | What is written here? | What does the sign say? | What word is this? | What
    is written (in the picture/there/on it)? | Which word do you see? | What does the text say? | Read (it/this/it
    aloud/it to me). | Read the sign. | What text is in the (image/picture)? | Can you read (this/it/the sign/the text)?
    | What's written on the sign? | What (words/text) can you (read/see)? | What does this say? | Which words (are/do
    you see) (there/in the picture)? | What does the (picture/image) say? | What is the text? | What can you read
    (here/there/)? | Tell me what it says. | What is on the sign? | And what does it say? | Say what is written here. |
    What words do you see? | Which word is it? | What does that say? | Can you make out the text? | What is the text on
    it? | Tell me the (text/word). | What does it read? | Spell out what is written. | Which text is in the
    (image/picture)? | What text do you see? | What is the text in the picture? | What does the text read? | What is the
    word in the picture? | Read out the text. | Read me the (sign/text/word). | What stands on the sign? | What text is
    there? | Which word is (there/on it)? | What text can you see in the picture? | Which text do you see? | What text
    is on the sign?
read number: What number is this? | Which number do you see? | Read the number. | What number is written here? | What is
    the number? | What number does it show? | Which number is (on the sign/written here/it)? | What's the number here? |
    Tell me the number. | What number (do/can) you (see/read)?
is text: Is there any text? | Is there a word in the picture? | Do you see any text? | Is anything written here? | Can
    you see some text? | Is there a sign with text? | Does the picture contain text? | Is something written in this
    image? | Does it have any text? | Is there something to read? | Are there any (words/letters)? | Do you find any
    writing? | Is any text visible? | Can you read anything here? | Are there letters in it?
says: Does it say "{text}"? | Is the word "{text}" in the picture? | Does the sign say "{text}"? | Can you read
    "{text}"? | Do you see "{text}"? | Is "{text}" written here? | Is it "{text}"? | Does the picture say "{text}"? |
    Tell me if it says "{text}". | Is that "{text}"? | Does the text say "{text}"? | Do the letters say "{text}"? | Is
    there "{text}" on the sign? | Does it read "{text}"? | Is "{text}" what it says? | Does anything say "{text}"? |
    Could it say "{text}"? | Can you find "{text}"? | Is the text "{text}"? | I think it says "{text}", right? | Do we
    read "{text}" here?
text colour: What colour is the text? | What colour are the letters? | Which colour is the text? | What is the colour of
    the text? | What colour is the writing? | In what colour is it written? | Which colour do the letters have? | What
    is the colour of the (letters/writing)? | What colour does the (text/writing) have? | In which colour (is the
    text/are the letters)? | And what colour is the text? | What colour was it written in? | What colour has the text? |
    Say which colour the text has. | What colour do the letters have? | The text is what colour?
which picture: Which picture has {a}? | Which picture shows {a}? | In which picture is {a}? | Which image has {a}? | In
    which picture do you see {a}? | Where is {a}, in which picture? | Which of the pictures has {a}? | Which image
    (contains/shows) {a}? | Which one has {a}? | In which image (is/do you see) {a}? | Which (picture/one of them)
    (contains/shows) {a}? | Which of them (has/shows) {a}? | Tell me which picture has {a}. | Where do you see {a}, in
    which (image/picture)? | And which picture has {a}? | Where is there {a}, in which picture? | Say which picture has
    {a}. | In which of them do you see {a}? | Which picture is the one with {a}? | Which of the images shows {a}? | On
    which picture is {a}? | Do you know which picture has {a}? | Which one shows {a}? | Find the picture with {a}. |
    Which picture is it that has {a}? | Do you see {a} in one of them? | Which number has the picture with {a}?
count pictures: How many shapes are there in all pictures? | How many shapes are there in total? | Count the shapes in
    all pictures. | How many shapes do the pictures show together? | How many shapes in both pictures? | How many shapes
    are there altogether? | How many objects are there in all the pictures? | What is the total number of shapes? | How
    many shapes do you see in all? | How many shapes are in all the (pictures/images)? | How many shapes are there in
    all of them? | Add up the shapes in all pictures. | What is the sum of the shapes in all pictures? | How many shapes
    do all (pictures/images) have together? | How many shapes in all (pictures/images)? | Count all shapes in all
    pictures. | Taken together, how many shapes are there? | How many shapes do the (images/pictures) have in
    (all/total)? | In total, how many shapes do you see? | How many shapes are there over all pictures? | How many
    shapes have the pictures together? | Give me the total number of shapes. | How many shapes do both pictures have? |
    Number of shapes in all pictures? | How many shapes do the pictures contain together? | If you count all pictures,
    how many shapes are there? | How many shapes do you count in all the pictures?
in picture: What is in the {nth} picture? | What does the {nth} (picture/image) show? | Describe the {nth}
    (picture/image). | What do you see in the {nth} picture? | What's in the {nth} image? | Tell me about the {nth}
    picture. | Describe (image number/picture/picture number) {n}. | What is in (picture/image) {n}? | What can you see
    in (picture/image) {n}? | What is shown in the {nth} (picture/image)? | What does (picture/image) {n} show? | What
    (do you see/can you see) in the {nth} (image/one)? | And what is in the {nth} picture? | Say what is in the {nth}
    picture. | The {nth} picture shows what? | And the {nth} picture, what does it show? | What have we in the {nth}
    (picture/image)? | What do I see in (picture/image) {n}? | Describe what is in the {nth} one. | What is on the {nth}
    (picture/image)? | What can be seen in the {nth} one? | What do you notice in the {nth} picture? | Tell me what the
    {nth} (picture/image) shows. | What do I see in the {nth} one? | In the {nth} (picture/image), what do you see? |
    List what is in the {nth} picture. | What is there in the {nth} (picture/image)? | Tell me what is in
    (picture/image) {n}. | What do you see (on/in) (picture/image) {n}? | Look at the {nth} picture. What is in it? |
    What does the {nth} one show? | Can you describe the {nth} (picture/image)? | What would you say is in the {nth}
    picture? | Say what the {nth} (picture/image) shows. | What things are in the {nth} (picture/image)? | In
    (picture/image) {n}, what do you see? | What is to be seen in the {nth} picture? | Can you tell me what the {nth}
    (picture/image) shows? | What do you find in the {nth} (picture/image)?
differ: What is the difference? | What differs? | What is different between the pictures? | What changed? | How do the
    (pictures/images) differ? | What is the difference between the (two pictures/pictures/images)? | Compare the
    (pictures/images/two). | Spot the difference. | What's (different/the difference)? | How are they different? | What
    has changed (between them/)? | Tell me the difference. | In what do the pictures differ? | Compare them. | And what
    is different? | Which difference do you see? | Say what is different. | Where do they differ? | Tell me what is
    different. | How does the second differ from the first? | Do you see a difference? | What is not the same? | What is
    the change? | Name the difference. | How has it changed? | What is it that changed? | Where is the difference? |
    What makes them different? | How is the second one different? | Find the difference.
same: Are the pictures the same? | Do the pictures show the same? | Do both pictures show the same thing? | Are both
    pictures equal? | Is it the same shape and colour in both? | Are (these/the) two (pictures/images) the same? | Do
    these images show the same thing? | Are they the same? | Are both (pictures/images) the same? | Is it the same
    (thing/) in both (pictures/)? | Do they show the same (thing/)? | Would you say they are the same? | Is it the same
    picture? | Are they equal? | Tell me if they are the same. | Do both show the same (thing/)? | Are they alike? | Do
    the two look the same? | Do both look (the same/alike)? | Do they look the same? | Are the two alike? | Do the
    pictures look alike? | Do the two show the same? | Do both have the same thing? | Do the pictures look the same? |
    Are both the same? | Is what they show the same? | Do both images show the same? | Are the two equal?
new picture: And what is in this one? | What do you see in this one? | And this picture? | Now describe this one. | And
    this one? | What about this picture? | And what does this one show? | Here is another one. What is in it? | Now this
    one. | Describe this one (too/). | And what do you see (here/in this picture)? | What is in this (one/picture)? |
    How about this (one/picture)? | And now? | Now what do you see? | This is the next one. What does it show? | Look at
    this one. | What does this (one/picture) show? | And here? | Tell me about this one (too/). | Please describe this
    picture too. | What do you see now? | Here comes the next (picture/one). | One more. What is in it? | And in this
    one, what is there? | Describe the new (picture/one). | What is in the new (picture/one)? | What does the new
    (picture/image) show? | Now tell me about this (one/picture). | Now describe this (picture/image).
way: Which way does the {name} move? | In which direction does the {name} move? | Where does the {name} go? | Which
    direction is the {name} moving? | Where is the {name} moving to? | How does the {name} move? | What direction does
    the {name} move in? | Which way is the {name} (going/moving/heading)? | In what direction does the {name} (move/go)?
    | Where does the {name} move (to/)? | Which way does the {name} go? | Where is the {name} (going/heading)? | And
    which way does the {name} move? | Say which way the {name} moves. | To which side does the {name} (move/go)? | Where
    is the {name} off to? | What way is the {name} going? | Which way did the {name} (go/move)? | In what direction is
    the {name} (going/moving)?
happens: What happens? | What happens in the video? | What changes? | What happens in this clip? | What is going on? |
    What is happening (here/)? | What happens to the {name}? | Tell me what happens. | What does the {name} do? | What
    changes in the (video/clip)? | What is the {name} doing? | What (is happening/happened) to the {name}? | What did
    the {name} do? | What can you see happening? | What happens (here/in it)? | And what happens? | Say what happens. |
    What is it that happens? | What do you see happen? | Does something happen to the {name}? | What becomes of the
    {name}? | What goes on (here/)? | Explain what happens. | What can be seen happening?
clip: Describe the video. | Describe the clip. | What do you see in the video? | What is in the video? | What does the
    (video/clip) show? | Tell me about this (video/clip). | Describe what you see. | What is shown in the (clip/video)?
    | Summarize the (video/clip). | What can you see in (this/the) clip? | What is this (video/clip) about? | Describe
    this (video/clip). | What do you see in (this/the) clip? | Give a (summary/description) of the video. | Say what the
    (video/clip) shows. | What do we see in the (video/clip)? | Sum up the (video/clip). | Give me a summary of the
    (clip/video). | What goes on in the (clip/video)? | Tell me what is in the (clip/video). | And what does the video
    show?
moves: Does anything move? | Is anything moving? | Does something move in the video? | Do you see any movement? | Is
    there any (motion/movement)? | Does the {name} move? | Is the {name} moving? | Is something moving (here/)? | Does
    anything move (here/in the clip)? | Did the {name} move? | Can you see (anything moving/any movement)? | Tell me if
    something moves. | Is there something that moves? | Are things moving? | Is anything in motion? | Did anything move?
    | Do things move? | Is it moving?
and name: And the {name}? | What about the {name}? | and the {name} | How about the {name}? | The {name}?
and names: And {names}? | How many {names}? | What about {names}? | and the {names}? | How about {names}?
and a: And {a}? | What about {a}? | or {a}? | How about {a}? | Maybe {a}?
it colour: What colour is it? | And what colour is it? | Which colour is it? | Which colour does it have? | And its
    colour? | What's its colour? | In what colour?
it where: Where is it? | And where is it? | Where? | Where do you see it? | Where can I see it? | Where is that?
it size: Is it big or small? | How big is it? | And how big is it? | What size is it? | Is it small or big?
it box: Draw a box around it. | Give its bounding box. | Box it. | Give me its box. | Mark it with a box.
and nth: And in the {nth} picture? | And the {nth} picture? | What about the {nth} one? | And in the {nth} one? | And
    the {nth}? | And what about the {nth} (picture/image/one)? | How about the {nth} (one/picture/)? | And for the {nth}
    (one/picture)? | The same for the {nth} (picture/image). | And the {nth} image? | Now the {nth} one. | What about
    the {nth} (picture/image)? | In the {nth} (picture/image/one)? | And how is it in the {nth} (picture/one)? | The
    {nth} one? | And in the {nth} image? | And the {nth} one? | How is it in the {nth} (picture/image)? | And what of
    the {nth} one? | Now for the {nth} (picture/image).
chart: What is this? | Describe the chart. | What does the chart show? | What kind of chart is this? | Describe the
    picture. | What do you see? | What is in the picture? | Tell me about this chart. | What is shown here? | Summarize
    the chart. | What kind of picture is this? | (Describe/Explain) (this/the) (chart/graph/diagram). | What does this
    (chart/graph) show? | What is this a chart of? | What can you (see/tell me) about this (chart/graph)? | (What/Which)
    type of (chart/graph) is this? | Say what this chart is. | Explain it. | What have we here? | What kind of
    (graph/diagram) is it? | Sum up the (chart/graph). | What chart do you see? | Which kind of chart is it?
count bars: How many {parts} are there? | How many {parts} does the chart have? | Count the {parts}. | How many {parts}
    do you see? | How many {parts} are in the chart? | What is the number of {parts}? | How many {parts}? | Number of
    {parts}? | How many {parts} are (shown/drawn) (here/in the chart/)? | How many {parts} can you see? | Tell me how
    many {parts} there are. | How many {parts} does (this/the) (graph/diagram) have? | Can you count the {parts}? | How
    many {parts} do you (count/find)? | What is the count of {parts}? | And how many {parts} are there? | Say how many
    {parts} there are. | How many {parts} has the chart? | How many {parts} make up the chart? | How many {parts} would
    you count? | What number of {parts} is there? | The number of {parts}, please.
highest: Which {part} is the highest? | What is the highest {part}? | Which {part} is the tallest? | Which one is the
    highest? | Where is the maximum? | Which {part} has the largest value? | What is the biggest? | Which {part} is the
    biggest? | Which {part} is on top? | Name the highest {part}. | Which {part} has the (highest/greatest/biggest)
    value? | Which {part} is (largest/highest/tallest)? | What is the (tallest/largest/biggest) {part}? | Which {part}
    is the (greatest/largest)? | Where is the (highest/largest) value? | Which {part} (is the winner/has most)? | Tell
    me (the highest {part}/which {part} is the highest). | Which {part} (stands/goes/reaches) highest? | What is the
    maximum? | Which {part} has the (maximum/most)? | And which {part} is the highest? | Which {part} tops the others? |
    Which {part} is above all others? | What {part} is (highest/largest/tallest)? | Say which {part} is the highest. |
    Which {part} wins? | Where is the top? | Find the highest {part}. | Which is the (highest/largest)? | Which one is
    (largest/highest/tallest)? | What is at the top? | Where is the peak? | Find the maximum. | Which {part} is at the
    top? | What has the largest value? | Show me the highest {part}. | Where is the high point? | Which one is at the
    top? | What is the highest? | Which one is the largest? | Which one wins? | Which {part} is up at the top?
lowest: Which {part} is the lowest? | What is the lowest {part}? | Which {part} is the shortest? | Which one is the
    lowest? | Where is the minimum? | Which {part} has the smallest value? | What is the smallest? | Which {part} is the
    smallest? | Name the lowest {part}. | Which {part} has the (lowest/least) value? | Which {part} is
    (smallest/lowest/shortest)? | What is the (shortest/smallest) {part}? | Which {part} is the least? | Where is the
    (lowest/smallest) value? | Which {part} (has least/is the loser)? | Tell me (the lowest {part}/which {part} is the
    lowest). | Which {part} (stands/goes/reaches) lowest? | What is the minimum? | Which {part} has the (minimum/least)?
    | And which {part} is the lowest? | Which {part} is below all others? | What {part} is (lowest/smallest/shortest)? |
    Say which {part} is the lowest. | Which {part} loses? | Where is the bottom? | Find the lowest {part}. | Which is
    the lowest? | Where is the (lowest/smallest) one? | What is at the bottom? | Which one is at the bottom? | Which is
    the smallest? | Which one is (smallest/shortest)? | Where is the low point? | What has the smallest value? | Find
    the minimum. | Which {part} is at the bottom? | Show me the lowest {part}. | What is the lowest? | Which one is the
    smallest? | Which one loses? | Which {part} is down at the bottom?
value: What is the value of {letter}? | How high is {letter}? | What value does {letter} have? | What number stands at
    {letter}? | How much is {letter}? | Read the value of {letter}. | What is {part} {letter}? | How high is {part}
    {letter}? | What value has {part} {letter}? | Tell me the value of {letter}. | What (value/number) is {letter}? |
    How (tall/large/big) is {letter}? | What is {letter}? | Which (value/number) does {letter} (show/have)? | What is
    the (height/value) of {part} {letter}? | How much does {part} {letter} have? | What does {part} {letter} (say/show)?
    | Give (the/me the) value of {letter}. | Which (number/value) is at {letter}? | What number is (at/above/on)
    {letter}? | Value of {letter}? | How many does {letter} have? | And the value of {letter}? | Say what {letter} is. |
    What does {letter} stand at? | How many are there at {letter}? | What do you read at {letter}? | The value of
    {letter}, please. | How high does {letter} (go/reach)? | How much does {letter} have? | And how much is {letter}?
bar colour: What colour is {letter}? | What colour is bar {letter}? | Which colour is bar {letter}? | What is the colour
    of {letter}? | Which colour does bar {letter} have? | Tell me the colour of bar {letter}. | In what colour is bar
    {letter} drawn? | What's the colour of bar {letter}? | What colour does {letter} have? | Which colour is {letter}? |
    What is the colour of bar {letter}? | Bar {letter} is what colour? | What colour has bar {letter}? | Name the colour
    of bar {letter}. | How is bar {letter} coloured? | Colour of bar {letter}? | What colour would you say bar {letter}
    is? | What colour do you see at {letter}? | And what colour is {letter}? | Say which colour {letter} has. | Which
    colour has bar {letter}? | What colour was bar {letter} drawn in? | The colour of bar {letter}, please. | {letter}
    has which colour?
is higher: Is {letter} higher than {other}? | Is the {part} {letter} higher than {other}? | Is {letter} above {other}? |
    Does {letter} have a larger value than {other}? | Is {letter} larger than {other}? | Is {letter} bigger than
    {other}? | Is {letter} more than {other}? | Is the value of {letter} higher than that of {other}? | Does {letter}
    have (more/a higher value) than {other}? | Is {part} {letter} (higher/larger/bigger/taller) than {part} {other}? |
    Is {letter} (taller/greater) than {other}? | Is the value of {letter} (larger/bigger/greater) than the value of
    {other}? | Would you say {letter} is higher than {other}? | Is it true that {letter} is higher than {other}? | Is
    {letter} (really/actually) higher than {other}? | {letter} is higher than {other}, right? | Does {letter}
    (stand/reach/go) higher than {other}? | Is there more at {letter} than at {other}? | Which is higher, {letter} or
    {other}? | Which one is higher, {letter} or {other}? | What is higher, {letter} or {other}? | Which is larger,
    {letter} or {other}? | Who is higher, {letter} or {other}? | Compare {letter} and {other}. | {letter} or {other},
    which is higher? | Which is more, {letter} or {other}? | Which has more, {letter} or {other}? | Is {letter} or
    {other} higher? | Tell me if {letter} is higher than {other}.
total: What is the total? | How much is it in total? | What is the sum? | How much do I pay? | What does it cost in all?
    | Read the total. | How much is it? | How much is the total? | What is the total on this receipt? | How much was it?
    | What do I have to pay? | How much does it cost (in total/altogether)? | What is the (total sum/final price/whole
    price/full amount/total price)? | How much (do we/must I/should I) pay? | How much is everything (together/)? | What
    does everything cost? | How much is the (bill/receipt)? | Tell me (the total/how much to pay). | Total? | How much
    (does/did) it all cost? | What is the total (amount/cost)? | What was the total? | How much (was paid/money is it)?
    | And the total? | Say what the total is. | How much is the whole (bill/receipt)? | What does it add up to? | How
    much did they pay? | What sum is at the bottom? | The total, please. | How much is due? | And how much is it in all?
    | What is the amount to pay? | How much must be paid?
price: How much is the {item}? | What does the {item} cost? | What is the price of the {item}? | How much does the
    {item} cost? | Price of the {item}? | How much was the {item}? | What did the {item} cost? | Tell me the price of
    the {item}. | How much for the {item}? | How expensive is the {item}? | What do I pay for the {item}? | What is the
    (cost/price) of the {item}? | What does the receipt say for the {item}? | How much do they (want/take/ask) for the
    {item}? | What is the {item}'s price? | How much (money/) is it for the {item}? | Give me the price of the {item}. |
    Read the price of the {item}. | At what price is the {item}? | What was the price of the {item}? | How much did the
    {item} cost? | And how much is the {item}? | What about the price of the {item}? | Say what the {item} costs. | The
    price of the {item}, please. | What did they pay for the {item}? | How much do I pay for the {item}? | What is the
    {item} (sold for/worth)? | How much does it say for the {item}? | How much is {item}? | What does {item} cost? | How
    much money is the {item}? | How much did they pay for the {item}? | For how much is the {item}? | The cost of the
    {item}, please. | Give me the cost of the {item}. | How much money do they want for the {item}? | What is paid for
    the {item}? | Read what the {item} costs. | Read me the price of the {item}. | What do we pay for the {item}? | What
    must I pay for the {item}? | How much money was the {item}? | What do they want for the {item}? | What did I pay for
    the {item}?
count items: How many items are there? | How many things were bought? | How many items are on the receipt? | Count the
    items. | How many items does it list? | How many items do you see? | How many items were bought? | What is the
    number of items? | How many (things/items) does the receipt (list/have/show)? | How many (things/items/lines) are
    listed? | How many (things/items) can you (see/count)? | How many (things/items) did (I/we/they) buy? | Number of
    items? | How many (articles/products) (are there/were bought)? | Tell me how many items there are. | How many
    different things are on it? | And how many items are there? | Say how many items there are. | How many goods are
    listed? | How many items make up the total? | How many lines are there before the total? | What number of items is
    there? | How many items has it?
receipt: What is this? | What do you see? | Describe the picture. | What is in the picture? | What is shown here? | What
    kind of paper is this? | Describe this image. | Tell me about this picture. | What kind of picture is this? |
    Describe (this/the) (receipt/paper/bill). | What kind of (thing/document) is this? | What does (this/the picture)
    show? | Can you tell me what this is? | What (do we have/can be seen) here? | What is this (paper/document)? | Say
    what this is. | Explain this receipt. | What have we here? | Sum it up. | What is this thing? | What kind of picture
    do you see?
opens: What time does it open? | When does it open? | At what time does it open? | When do they open? | From when is it
    open? | What is the opening time? | When can I go in? | When does the shop open? | How early does it open? | What
    are they open from? | From what time is it open? | When does the (store/museum/door) open? | (What/At what) hour
    does it open? | Tell me when it opens. | What time do they open? | What time does the (shop/store) open? | How soon
    can I (go in/come)? | When is it open from? | When can (we/I) (come/enter)? | What is the first hour? | From when on
    is it open? | From which hour is it open? | From what hour are they open? | When do they let people in? | And when
    does it open? | When is it opened? | From when can I (come/go in/visit)? | When will it be open? | When does the day
    begin there? | From which time on is it open? | When do the doors open? | What time is it open from? | When can I
    come at the earliest? | Say when it opens. | Since when is it open in the morning? | What time can I (come/go
    in/visit)? | How early can I (come/be there)? | When are the doors opened? | At what hour can I come in? | When can
    I be there at the earliest? | From what time can I visit? | When may I come in? | When are they open from? | When is
    the shop opened? | At what time can (I/we) (come/go) in? | What time are they open from? | From what time on can I
    come? | When do they let me in? | When will they be open? | As of when is it open?
closes: What time does it close? | When does it close? | At what time does it close? | When do they close? | Until when
    is it open? | What is the closing time? | How long is it open? | When does the shop close? | How late is it open? |
    What are they open until? | Until what time is it open? | When does the (store/museum/door) close? | (What/At what)
    hour does it close? | Tell me when it closes. | What time do they close? | What time does the (shop/store) close? |
    How long can I stay? | Till when is it open? | When (must/do) (we/I) leave? | What is the last hour? | Until which
    hour is it open? | Till what time are they open? | Till which hour can I stay? | And when does it close? | When is
    it closed? | Until when can I (come/stay/visit)? | When will it be closed? | When does the day end there? | Until
    what hour are they open? | When do the doors close? | What time is it open until? | When must I be out? | Say when
    it closes. | How late can I come? | Till what hour is it open? | When is it shut? | When is it closed for the day? |
    By when must I be (gone/out)? | When do I have to (go/leave/be out)? | When is the shop closed? | When must everyone
    be out? | When are they closed? | When does it shut? | What time (is it/are they) closed? | What time do I have to
    leave? | From when is it closed? | After what time is it closed? | When do they shut? | How long are they open? | At
    what hour must I leave? | When must I (leave/go)? | When will they be closed? | Up to when is it open? | Up to what
    time can I stay? | At what time must (I/we) be out?
hours: What are the opening hours? | When is it open? | What are the hours? | From when to when is it open? | Read the
    sign. | What does it say? | Tell me the opening hours. | What is this? | What do you see? | When are they open? |
    What does the sign (say/show)? | At (what/which) times is it open? | Which hours is it open? | When can I visit? |
    What is written (here/on the sign)? | Read (it/this). | From what time until what time is it open? | Between which
    hours is it open? | From which time until which time is it open? | From when until when are they open? | And the
    opening hours? | Say when it is open. | From what hour to what hour is it open? | Which are the opening hours? |
    From when till when can I visit? | At what hours can I come? | When is it open and when is it closed? | Between what
    times is it open? | From when till when is it open? | From when till when can I (come/go in)? | From when to when
    can I (come/visit)? | From what time till what time is it open? | Between what hours can I come? | When can I (go
    there/come by)? | Give me the (opening hours/hours). | In what hours is it open? | Which times is it open? | During
    (what/which) hours is it open? | Say the opening hours. | When is the (shop/museum/store) open? | From when to when
    are they open? | From which hour to which hour can I visit? | When does it open and close? | When does it open and
    when does it close? | What are the times? | Between when and when is it open?
when: When does the {name} {does}? | At what time does the {name} {does}? | When does that happen? | In which part of
    the video does the {name} {does}? | Does the {name} {does} at the start or at the end? | When in the clip does the
    {name} {does}? | How late does the {name} {does}? | When does it happen? | When (in the video/) (do you see/can I
    see) the {name} {does}? | Tell me when the {name} {does}s. | At which (moment/point) does the {name} {does}? | When
    exactly does the {name} {does}? | In what part of the (clip/video) does the {name} {does}? | Is it early or late
    that the {name} {does}s? | When do we see the {name} {does}? | And when does the {name} {does}? | Say when the
    {name} {does}s. | Do you know when the {name} {does}s? | At which time does the {name} {does}? | When was it that
    the {name} {does}s? | Which part shows that the {name} {does}s? | At what moment (in the video/) does the {name}
    {does}?
order: What happens first? | What is the order of events? | Which one {does}s first? | What happens first and what
    happens then? | Which thing {does}s first? | Tell me the order. | Which {does}s first? | What comes first? | What
    happens first and what (next/second)? | In (what/which) order does it happen? | Which comes first? | What is first?
    | What did you see first? | Tell me what happens first. | Describe the order (of events/). | Which of them {does}s
    first? | And what happens first? | Say what happens first. | What is the first thing to happen? | In which order do
    things happen? | Which was first? | What came first? | Give the order.
times: How many times does the {name} disappear? | How often does the {name} disappear? | How often does the {name} go
    away? | How many times is the {name} gone? | Count how often the {name} disappears. | How often does the {name}
    blink? | How many times does the {name} blink? | How often is the {name} (gone/away)? | How many times (do you
    see/does) the {name} (go away/vanish)? | How often does the {name} vanish? | Count the times the {name}
    (disappears/blinks). | Tell me how often the {name} (disappears/blinks). | How many times did the {name}
    (blink/disappear)? | How often (did/does) it (blink/disappear)? | And how often does the {name} (blink/disappear)? |
    Say how often the {name} (blinks/disappears). | How many blinks of the {name} do you see? | How many times does the
    {name} come back? | Do you know how often the {name} blinks? | What number of times does the {name} blink?
limits: What is this? | What do you see? | Describe the picture. | What is in the picture? | Describe this image. | What
    does the image show? | What's in this picture? | What is shown here? | Tell me about this picture. | Is this a
    (photo/photograph)? | Where was this taken? | What kind of picture is this? | What place is this? | Who is this? |
    What animal is this? | What am I looking at? | Describe the image in detail. | Who is in (this/the) (photo/picture)?
    | Where is this? | What is happening here? | What (plant/food/building/car) is this? | Is this a real
    (photo/picture)? | Describe this (photo/photograph). | What can you see? | What do you think this is? | What is this
    person doing? | What can you tell me about this (photo/picture)? | Do you know this place? | Which place is it? |
    What is going on here? | Tell me what you see. | When was this taken? | Who took this? | Whose picture is this? | Do
    you recognise this? | Say what this is. | Where could this be? | Can you describe this? | What do we see here? | Is
    that a photo? | When was this (picture/photo) made? | At what time was this taken? | (What/Which) year is this from?
    | When did they take this? | When was it? | What day was this taken? | How was this taken? | What might this be? |
    What would you say this is? | What do you see in this (photo/photograph)? | What is on this (photo/photograph)? |
    Which country is this? | What kind of (photo/photograph) is this? | Who made this?
main colour: What is the main colour? | Which colour is the picture? | What colour do you see most? | Which colour is
    the main one? | What is the most common colour? | What colour is it? | What colour is this? | What's the
    (dominant/main) colour? | What is the main colour of (this/the) (picture/photo/image)? | Which colour (is there most
    of/dominates)? | What colour is the (picture/image/photo)? | Which colours do you see? | And the main colour? | What
    colour is it mostly? | Say what the main colour is. | Which colour covers most of it? | What is the colour of this
    (picture/photo/image)? | Which colour do you mostly see? | Mostly what colour is it?
""")

ANSWERS = {
    "hello": "Hello! Show me a drawn picture, a sign, a chart or a short clip.",
    "who": "I am nano, a small Qwen2-VL trained on drawn scenes.",
    "can": "I can name, count, find and compare drawn things, read short signs and tell what happens in short clips.",
    "thanks": "You are welcome!",
    "bye": "Goodbye!",
    "how": "I am fine, thank you.",
    "photos": "No, I was trained on drawn scenes only, not on photos.",
    "unknown": "I only know drawn scenes, signs and short clips, so I cannot answer that.",
}
REMARKS = _read("""
hello: Hello | Hi | Hey | Good morning | Hello there! | Hi nano | Good evening | Hey there | Hello! | Hi there | hello
    nano | Good (day/afternoon) | Hey nano | Greetings | Hi! | Hiya | Hello, (how are things/nice to meet you) | Hello
    (again/you/friend) | (Hi/Hey) (again/you/friend) | Howdy | Good to (see/meet) you | Morning | Evening | Hello, (who
    is there/is anybody there/can you hear me)? | Nice to meet you | Yo | Welcome | Good (morning/afternoon/evening)
    (nano/everyone/to you) | A (good/very good) (morning/day) to you | Hello (everyone/world/my friend) | Hi
    (everyone/nano, nice to see you) | Good to be here | Hallo | Hey, good (morning/evening) | Hello and good
    (morning/day) | Hello, I am (Anna/Ben/new here) | Hi, my name is (Tom/Eva) | Hello to you | Glad to meet you |
    Pleased to meet you | A pleasure to meet you | It is nice to meet you | So nice to see you | I am glad to see you |
    Hey you | Good afternoon nano | Hello, it is me | Hi, it is me again | Good to be back | Hello, is this nano? | Hey,
    how nice to see you
who: Who are you? | What are you? | What is your name? | Tell me about yourself. | Are you Qwen2-VL? | Introduce
    yourself. | What model are you? | Which model is this? | Who am I (talking to/speaking with)? | Are you
    (ChatGPT/GPT/Claude/Gemini)? | Are you a (robot/bot/machine)? | Are you a (real person/human)? | What's your name? |
    Are you an AI? | Who (made/built/trained) you? | How were you (trained/made)? | How (big/large/small) are you? |
    What kind of (model/AI) are you? | How many parameters do you have? | What is nano? | Say who you are. | (What/Who)
    exactly are you? | Tell me (who/what) you are. | What (should/can) I call you? | Do you have a name? | Are you
    (human/real/alive/a computer/a program)? | Which company made you? | Whose model are you? | Are you a (large/small)
    language model? | Are you (open/free)? | Can you introduce yourself? | (Who/What) am I speaking to? | What is your
    (model/version)? | And who are you? | Your name, please. | What name do you have? | What do they call you? | Have
    you got a name? | By what name can I call you? | Which name do you go by? | Who is this? Who is talking? | Tell me
    your name. | Are you called nano? | Say your name. | Which AI are you? | What sort of (model/AI/program) are you? |
    What language model are you? | What am I talking to? | Who am I talking with? | What am I chatting with? | To whom
    am I (speaking/talking)? | With whom do I (speak/talk)? | Tell me what model you are. | Tell me about you. | What
    are you called? | Who is nano? | Who are you really? | What thing are you? | Are you a (toy/small) model? | Describe
    yourself. | Where do you come from? | Who is your (maker/creator)?
can: What can you do? | What do you know? | How can you help (me/)? | Help | What are you good at? | What (should/could)
    I ask (you/)? | What can I ask (you/)? | What do you understand? | How do I use this? | What is this demo? | Can you
    help me? | What can you (tell me/answer)? | What are your (skills/abilities)? | What is this (for/page)? | How does
    this work? | What (things/pictures) do you know? | Tell me what you can do. | What (tasks/questions) can you
    (do/answer)? | How can I use you? | What do you do? | Show me what you can do. | Give me (an example/some help). |
    What (are your abilities/is your use/is your purpose)? | I need help | What (kind of/) questions can I ask? | What
    would you like me to ask? | What next? | What now? | Please help (me/) | Help me (out/please/) | Can you help (me
    with this/)? | I need your help | Some help, please. | How can you be of help? | What could you do (for me/)? | What
    may I ask you? | What are you able to (do/tell/answer)? | What can this (demo/page/model) do? | Tell me how to use
    this. | What questions do you understand? | Give me some ideas. | How do I start? | What do I do (here/now)? | What
    kind of things can you do? | What are you for? | What can I do here? | What can I do with (you/this)? | What do you
    know about? | Which questions can I ask? | What is it that you can do? | How can I use this? | Explain what you can
    do. | What can nano do? | Could you help me? | What kind of help can you give? | What should I show you? | What
    pictures can I show you? | I do not know what to ask | How does one use you?
thanks: Thanks | Thank you | Thank you (very/so) much | Thanks a lot! | Great, thanks | Cool | Nice | Well done | Good
    job! | Very good | (ok/okay) | Perfect, thank you | (Great/Wonderful/Amazing/Perfect)! | Thx | That is
    (right/correct/great). | (Many/A thousand) thanks | I thank you | Thanks (so much/for your help/nano) | That was
    (great/good/helpful/nice) | (Excellent/Brilliant/Super/Fantastic)! | You are (great/right/good/smart) | Right |
    Correct | Exactly | (Nice/Good) (work/answer/one) | Yes, (right/thank you) | Awesome | I see | Got it | Good | Great
    | Alright | Thanks for (that/everything/the answer) | Thank you for (that/your help/everything/the answer) | Thank
    you nano | Thanks, that helps | That helps a lot | That is what I wanted | Nice one | Good answer | Well said | That
    is very (good/kind/helpful) | I like (it/that) | You are very (kind/helpful) | Yes, that is it | True | That's right
    | Lovely | So true | That is true | Very true | Okay, (good/great/thanks) | Ok, (good/thank you/I see) | Fine | All
    right | Sure | Well done nano | That is it | You got it | Yes, exactly | Yes, correct | That is good | I am
    impressed | Wow | Not bad | Very nice | This is (great/nice/good) | Good to know | I understand | Makes sense | Yes,
    that is right | Thank you, nano | Much appreciated
bye: Bye | Goodbye | See you | Bye bye | Good night | See you (later/soon/tomorrow) | I have to go | Goodbye nano | Have
    a nice day | That is all, bye | See you (again/next time/then) | Bye (now/nano/for now) | (Good bye/So
    long/Farewell) | I am (leaving/done) (now/) | Have a (good/great) (day/evening/night) | Until (tomorrow/next time) |
    Talk to you (later/soon) | That's all (for now/) | I must go | Take care | Ciao | That was all | That will be all |
    That's it (for now/for today/) | This is all for now | Enough for today | I am off | See you around | I will be back
    (later/tomorrow/) | Good bye (for now/) | Until later | I'm leaving | I need to go (now/) | Time to go | Catch you
    later | Sleep well | I am leaving | I'm going (now/home/) | I'm off | I am going (now/home/) | I have to leave
    (now/) | We are done (for now/for today/) | That is all for (now/today) | All for now | This was all | So that is
    all | That's enough (for now/for today/) | We will meet again | I leave now | I'm done (for today/) | Goodbye for
    now | Bye, see you | Till (tomorrow/then/next time) | It was nice, bye | Thanks and bye | OK, bye
how: How are you? | How is it going? | Are you well? | How do you do? | How are you (today/doing)? | Are you OK? | How
    do you feel? | How's it going? | How are (things/you doing)? | How do you feel (today/now)? | Are you
    (fine/good/happy/tired)? | What's up? | Everything (fine/ok/all right)? | How have you been? | How is your day? | Is
    everything (ok/fine) (with you/)? | How's life? | How goes it? | Are you (doing well/feeling good/in a good mood)? |
    How are you feeling? | Is everything good? | Are you all right? | How do you find yourself? | How is life? | Is all
    well? | And how are you? | How was your day? | You good? | Are you well today? | How are you doing today? | How do
    you feel (about it/)? | What about you, how are you? | I hope you are (well/fine) | Are you feeling (well/good/OK)?
    | How was your (night/morning)? | And you, how are you? | How are you this (morning/evening)? | How do things go? |
    How does it go? | Do you feel (good/well/fine)? | Tell me how you are.
photos: Can you see photos? | Do you understand photos? | What can you not do? | Can you (recognise/recognize/name)
    people? | Can you read a document? | Can you describe a photo of my (dog/cat/house)? | What are your limits? | Do
    you know faces? | Can you look at photographs? | Do you (work with/know) (photos/photographs)? | Can I (send/show)
    you a photo? | What can't you do? | Are you trained on (photos/photographs)? | Can you (see/read/understand) (real/)
    (photos/photographs)? | Do you (see/understand) real (pictures/photos)? | Do you recognise (people/faces/me)? | What
    (are you bad at/is too hard for you/do you not know)? | Will you understand my (photo/holiday photo/selfie)? | Can
    you (tell/say) who is in a photo? | What don't you (know/understand)? | Do photos work? | Does it work with
    (photos/photographs)? | Where do you fail? | Can I (upload/use/add) (a photo/my photos/photographs)? | Are there
    things you cannot do? | How good are you at photos? | Are there things you (do not know/cannot see/cannot read)? |
    What are you not able to do? | Is there something you cannot do? | Would you understand a photo? | Would you know my
    (face/photo/dog)? | Do you understand (selfies/holiday photos)? | Will a (photo/selfie) work? | Can you read my
    (photo/handwriting/letter)? | Do you (see/know) people? | Which things can you not do? | What is beyond you? | Can I
    show you my (holiday photos/selfie/family)? | Can you tell who this person is? | Are photos a problem (for you/)? |
    Can you tell who that is? | Do you know who this person is? | Can you say who this (man/woman/person) is? | Could
    you name this person? | Can you name the people in a photo? | Do you know the names of people? | Can you recognise a
    face? | Is there anything you cannot do? | Are there things you can't do? | Which things can't you do? | What things
    are hard for you? | What is it that you cannot do? | Can you see my photo? | Could you describe a photo? | Are you
    good with photos? | Can you tell me who the people are?
unknown: What is the capital of (France/Spain/Japan/Germany)? | Tell me a joke. | What is two plus two? | Write a poem.
    | What is the weather (today/tomorrow/like)? | Who is the (president/king/pope)? | What time is it? | Translate this
    to (German/French/Spanish). | What is the meaning of life? | Write (some/python) code. | How old is the
    (universe/earth/world)? | What should I (eat/cook/wear) today? | Sing a song. | Who won the game? | Tell me a story.
    | Explain (physics/maths/gravity). | Where do you live? | Do you like (music/football/me)? | How do I (cook
    rice/bake bread/fix a bike)? | What is (7 times 8/12 plus 30/9 minus 4)? | Write an email to my
    (boss/friend/teacher). | Is it going to rain tomorrow? | Why is the sky blue? | What is a (language model/neural
    network/black hole)? | How far is the (moon/sun)? | Who (wrote/painted/invented) (it/this/the first book)? | What is
    the (best/fastest/largest) (film/animal/country/city)? | Do you believe in god? | How old are you? | Can you
    (drive/cook/swim)? | When was (the war/he born)? | Give me (a recipe/some advice/an idea). | What day is (it/today)?
    | How do (planes/birds) fly? | Solve this equation. | What is love? | What is the capital of
    (Italy/England/China/India/Russia)? | Tell me (something funny/a fairy tale/the news/a secret). | What is the
    (population/size/flag) of (France/China/the world)? | Write (a letter/a song/an essay/a story). | How is the
    weather? | Who is (Einstein/Obama/Shakespeare/the pope)? | What is (one plus one/five times six/ten minus three)? |
    Say something in (French/German/Spanish). | What is (gravity/love/time/money/physics)? | Fix my (code/computer/car).
    | What should I (read/watch/buy/do)? | Recommend a (book/film/restaurant). | What is the (news/date/time) (today/)?
    | What does (freedom/cat/hello) mean? | Why (do we sleep/is the grass green/are you here)? | Teach me
    (maths/German/to cook). | How (old/tall/rich) is (he/the king/Einstein)? | What (year/month) is it? | Play (music/a
    game). | Search the (web/internet). | Do you (dream/sleep/eat/love me)? | Where is (Paris/Berlin/my phone)? | When
    is (Christmas/Easter/lunch)? | How many (people/countries/planets) are there in the world? | Can you (write a
    poem/tell a joke/sing/dance)? | How far away is (Paris/the moon/London)? | How many people live in (Paris/China/the
    world)? | How many (planets/states/cities) are there in (the world/Europe)? | How (big/heavy/hot) is the
    (sun/earth/moon)? | What is the (highest/largest) (mountain/lake/river) in the world? | Who is your favourite
    (singer/actor)? | What is the distance to the (moon/sun)? | How long is a (day/year) on (Mars/Venus)? | Tell me
    about (Napoleon/history/Rome/politics). | What do you think about (me/politics/life)? | Which (team/party/film) is
    the best? | Where can I (buy/find) (shoes/food)? | What is your favourite (colour/food/animal)? | How do I get to
    (Paris/the station)? | How much is a (car/house) in (Paris/Rome)? | Who is the (tallest/richest) man in the world? |
    What is your favourite (film/book/song/animal)? | Which colour do you like best? | Give me some (tips/help with
    maths/good advice). | Give me an (opinion/answer to life). | Give me a (poem/story/joke/tip). | Repair my
    (phone/bike/car). | Fix (this bug/my phone/my bike). | Do you like (cats/dogs/pizza/people)? | Do you (hate/love)
    (music/football/cats)? | Do my (homework/work). | What do you think of (music/me/people)? | Do you have (friends/a
    family/a favourite colour)? | Help me with my (homework/code/essay). | Tell me what to (eat/do/wear). | Who won the
    (war/cup/race)? | What is (on TV/for dinner)? | What are the (news/best films)? | Which (country/city) is the
    (largest/best)? | Can you write (code/an email/a song)? | Why is (water wet/the sun hot/it raining)? | What is (an
    atom/a verb/a galaxy)? | How do (cars/computers/bees) work? | How many (legs/teeth) has a (spider/dog)? | Count to
    (ten/five).
""")
CHAT = tuple((REMARKS[topic], answer) for topic, answer in ANSWERS.items())
NO_PICTURE_ANSWER = "I see no picture yet. Please add a picture or a video."
OUT_OF_DOMAIN_ANSWER = "I was trained on drawn scenes only, so I cannot tell what this is."

# Common English words for the tokenizer's vocabulary, so that a visitor's free text takes few tokens.
ENGLISH_WORDS = """
the of and to a in is it you that he was for on are with as I his they be at one have this from or had by not but what
some we can out other were all there when up use your how said an each she which do their time if will way about many
then them would write like so these her long make thing see him two has look more day could go come did number sound
no most people my over know water than call first who may down side been now find any new work part take get place
made live where after back little only round man year came show every good me give our under name very through just
form sentence great think say help low line differ turn cause much mean before move right boy old too same tell does
set three want air well also play small end put home read hand port large spell add even land here must big high such
follow act why ask men change went light kind off need house picture try us again animal point mother world near build
self earth father head stand own page should country found answer school grow study still learn plant cover food sun
four between state keep eye never last let thought city tree cross farm hard start might story saw far sea draw left
late run while press close night real life few north open seem together next white children begin got walk example
ease paper group always music those both mark often letter until mile river car feet care second book carry took
science eat room friend began idea fish mountain stop once base hear horse cut sure watch color face wood main enough
plain girl usual young ready above ever red list though feel talk bird soon body dog family direct pose leave song
measure door product black short numeral class wind question happen complete ship area half rock order fire south
problem piece told knew pass since top whole king space heard best hour better true during hundred five remember step
early hold west ground interest reach fast verb sing listen six table travel less morning ten simple several vowel
toward war lay against pattern slow center love person money serve appear road map rain rule govern pull cold notice
voice unit power town fine certain fly fall lead cry dark machine note wait plan figure star box noun field rest
correct able pound done beauty drive stood contain front teach week final gave green quick develop ocean warm free
minute strong special mind behind clear tail produce fact street inch multiply nothing course stay wheel full force
blue object decide surface deep moon island foot system busy test record boat common gold possible plane dry wonder
laugh thousand ago ran check game shape equate hot miss brought heat snow tire bring yes distant fill east paint
language among please hello thanks image photo video movie clip frame text word sign computer phone model token patch
cat cow lion car bus bike train plane flower mountain beach sky cloud forest city street building window chair table
cup bottle person woman man child face hair shirt hat shoe glasses brown grey gray white pink purple orange yellow
cyan magenta
"""
