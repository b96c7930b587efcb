"""Knowledge: passages of a folder of notes, found for a question and quoted to the model."""
