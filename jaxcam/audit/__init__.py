"""Does the model cheat? Three separate questions: is a shortcut there, does the model use it, is that confirmed."""
