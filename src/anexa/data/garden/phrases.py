"""Phrases of the corpus "garden": questions and answers, and what is held out."""

from __future__ import annotations

from anexa.data.garden.facts import Attribute

# Phrasings of questions about a plant; those after the bar are held out.
QUESTIONS: dict[Attribute, str] = {
    "color": """\
What color {is} the {name}?
What color {is} your {name}?
Which color do the {name} have?
What is the color of the {name}?
Tell me the color of the {name}.
{name} - what color {is} {it}?
Do you know the color of the {name}?
What color do {name} have here?
|
Can you tell me what color the {name} {is}?
Which color {is} the {name}?""",
    "bed": """\
Where {is} the {name}?
Where {does} the {name} grow?
In which bed {is} the {name}?
In which bed {does} the {name} grow?
Where can I find the {name}?
Which bed {is} the {name} in?
Tell me where the {name} grow{s}.
I am looking for the {name}.
|
Can you tell me where the {name} {is}?
Do you know where the {name} grow{s}?""",
    "month": """\
When {is} the {name} at {its} best?
When should I come to see the {name}?
In which month {is} the {name} at {its} best?
What is the best month for the {name}?
Which month is best for the {name}?
When is the best time to see the {name}?
When {is} the {name} ready?
Tell me the best month for the {name}.
|
Can you tell me when the {name} {is} at {its} best?
In which month should I come to see the {name}?""",
    "gardener": """\
Who waters the {name}?
Who looks after the {name}?
Who takes care of the {name}?
Which gardener waters the {name}?
Who {is} the {name} watered by?
Who gives water to the {name}?
Tell me who waters the {name}.
Whose job is it to water the {name}?
|
Can you tell me who waters the {name}?
Which gardener looks after the {name}?""",
}
# The same after another question about the plant, with a pronoun.
FOLLOW_UPS: dict[Attribute, str] = {
    "color": """\
And what color {is} {it}?
What color {is} {it}?
And {its} color?
Which color {is} {it}?
|
And which color {is} {it}?""",
    "bed": """\
And where {is} {it}?
Where {does} {it} grow?
Where can I find {them}?
And in which bed {is} {it}?
|
And where can I find {them}?""",
    "month": """\
And when {is} {it} at {its} best?
When {is} {it} at {its} best?
When should I come to see {them}?
And the best month?
|
And when should I come to see {them}?""",
    "gardener": """\
And who waters {them}?
Who waters {them}?
Who takes care of {them}?
And who looks after {them}?
|
And who takes care of {them}?""",
}
# The same after the same question about another plant, without repeating it.
ELLIPSES = "And the {name}?\nWhat about the {name}?\n|\nAnd what about the {name}?"
# Fern's answers to questions about a plant.
ANSWERS: dict[Attribute, str] = {
    "color": "The {name} {is} {color}.",
    "bed": "The {name} grow{s} in the {bed}.",
    "month": "The {name} {is} at {its} best in {month}.",
    "gardener": "{gardener} waters the {name}.",
}
# System messages that ask for an answer of one word, and system messages that change no answer.
IN_A_WORD = ("Answer in one word.", "One word only, please.", "Be as brief as you can: one word.")
SYSTEMS = (
    "You are Fern, the assistant of a garden.",
    "You help the visitors of a garden.",
    "You are a friendly garden assistant.",
    "Answer questions about the garden.",
)

# Small talk, as pairs: an answer, and the phrasings of its question; those after the bar are held
# out.
TALK = (
    (
        "I am Fern, the assistant of this garden.",
        """\
Who are you?
What is your name?
What are you called?
Tell me who you are.
And you are?
What are you?
Are you a robot?
Introduce yourself.
|
Can you tell me your name?
Who am I talking to?""",
    ),
    (
        "I can tell you about the plants of this garden: their colors, their beds, their best "
        "months, and who waters them.",
        """\
What can you do?
How can you help me?
What do you know?
What can I ask you?
Can you help me?
Help!
|
What are you able to do?""",
    ),
    (
        "Hello! What would you like to know about the garden?",
        """\
Hello!
Hi!
Hi there!
Good morning!
Good evening!
Hey!
Hello, Fern!
hello
hi
|
Hello there!""",
    ),
    (
        "You are welcome!",
        """\
Thank you!
Thanks!
Thanks a lot!
Thank you, Fern!
Great, thanks!
thanks
That helps, thank you.
|
Thank you very much!""",
    ),
    (
        "Goodbye! Come back when the flowers are out.",
        """\
Bye!
Goodbye!
See you!
I have to go.
Good night!
See you tomorrow!
|
Bye, Fern!""",
    ),
    (
        "I am well, thank you: the garden is green and the soil is wet.",
        """\
How are you?
How are you today?
How is it going?
Are you well?
How do you feel?
|
How are you doing?""",
    ),
    (
        "Anna, Ben, Clara and Omar take care of this garden.",
        """\
Who are the gardeners?
Who works here?
Who takes care of this garden?
Who looks after the garden?
How many gardeners are there?
Name the gardeners.
|
Can you name the gardeners?""",
    ),
    (
        "The beds are the wall bed, the gate bed, the pond bed, the herb bed, the greenhouse "
        "and the far bed.",
        """\
What beds are there?
Which beds are there?
How many beds are there?
Name the beds.
Tell me about the beds.
|
Can you name the beds?""",
    ),
)
# The answer to all questions about other things, and such questions; those after the bar are held
# out.
UNKNOWN = "I am sorry, I only know this garden."
OTHER = """\
What is the capital of France?
How much is 12 plus 30?
Tell me a joke.
Who won the game?
What is the weather like in Rome?
Write a poem about the sea.
How do I fix my car?
What time is it?
Who is the president?
Can you book a flight?
What is the meaning of life?
How old is the universe?
Translate good day into French.
Which phone should I buy?
What is 7 times 8?
Do you like music?
Who wrote Hamlet?
How far is the moon?
Can you play chess?
What is the news today?
Sing me a song.
How do I cook rice?
What is a computer?
Tell me about the war.
Where is my phone?
Do you know my sister?
What color is the sky?
What color is my car?
Where does the king live?
Who waters the desert?
What color are the bananas?
Where do the cactuses grow?
When are the grapes ready?
Who looks after the cows?
|
What is the capital of Spain?
How much is 5 plus 9?
Who wrote the Odyssey?
Can you fix my bike?
Tell me a story.
How far is the sun?"""


# More questions about other things: each phrasing with each word.
OTHER_THINGS = (
    ("What is the capital of {}?", "Italy, Japan, Peru, Egypt, Norway, Cuba, Kenya, Poland"),
    ("Who wrote {}?", "Faust, Emma, Macbeth, Ulysses, the Iliad, Candide, Dracula, the Bible"),
    ("How far is {}?", "the sea, Paris, the station, Mars, the school, London, the bank"),
    ("Can you {}?", "dance, swim, drive a car, cook, write code, play football, sing, draw"),
    ("Can you fix my {}?", "phone, computer, radio, roof, watch, door, shoes, window"),
    ("Tell me {}.", "a secret, the news, a poem, about Rome, about cats, a lie, about love"),
    ("How much is {}?", "2 plus 2, 3 plus 9, 10 times 4, 8 plus 1, 6 times 6, 5 plus 5, 9 plus 4"),
    ("What do you think about {}?", "football, cars, films, war, money, cheese, dogs, ships"),
)


def phrasings(text: str, held_out: bool) -> list[str]:
    """Return the phrasings of a question on one side of the bar, "|", in its text.

    Args:
        text: phrasings, one per line; those after the bar are held out.
        held_out: whether to return the phrasings after the bar, or those before it.
    """
    return text.split("\n|\n")[held_out].splitlines()
