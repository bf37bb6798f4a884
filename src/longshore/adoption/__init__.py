"""Another registry's data taken over in place, and the way back: links read, rows made, links written."""
