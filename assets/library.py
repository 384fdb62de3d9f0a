"""The library in one sitting: a CLIP that reads a note, the components that read it, and an edit to take along.

Cell by cell in an editor that knows `# %%` (jupytext makes a notebook of it), or at once, in the folder of a checkout:
`PYTHONPATH=. python assets/library.py`. Where the package is installed, write `clip_levers` for `core`.
Nothing is downloaded.
"""

# %% Load: a CLIP with a dictionary of components, and a picture that it gets wrong
import tempfile
from pathlib import Path

import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from core.files import ASSETS
from core.methods.steering import Edit
from core.methods.targets import ClassTarget
from core.model.prompts import TEMPLATES
from core.pictures.batches import batches
from core.pictures.opening import open_pictures
from core.recipes import apply_recipe, claim_of, make_recipe, save_recipe
from core.setups.loading import load_setup
from core.workbench import Workbench

bench = Workbench(load_setup("bundled"))
trace = bench.open(ASSETS / "examples" / "dog-note-cat.webp")  # read once; all that follows starts from here
question = trace, ("dog", "cat", "fox", "bear", "car"), TEMPLATES["single"]

# %% Predict: the dog with a note that says "cat"
print(bench.classify(*question))

# %% Attribute: which components speak for "cat" against "dog", in logits
cat_not_dog = ClassTarget(wanted=1, against=0)
found = bench.attribute(*question, cat_not_dog)
print(found)
first = int(found.strongest_for(1)[0])
print(f"#{first} fires in {bench.concept(first).frequency:.0%} of the pictures of its index")

# %% Suppress it: what the model says then
edit = Edit.of_suppressed([first])
print(bench.compare(trace, edit, *question[1:]))

# %% Evidence: more than random components of its size do? At other doses? What else did it change?
*_, chance = bench.controls(*question, cat_not_dog, edit)
print(chance)
(doses,) = bench.responses(*question, cat_not_dog, edit)
print(doses)
print(bench.side_effects(*question, cat_not_dog, edit))

# %% Many pictures: one component repairs this picture, and its family others, too. A folder or a zip will do as well
family = bench.family(first)
assert family is not None
edit = Edit.of_suppressed(family.members)
pictures = open_pictures("scenes:index", limit=60)
read = batches(pictures, bench.setup.clip.crop, 32, range(pictures.n_parts))
*_, some = bench.read_set(read, pictures.classes, TEMPLATES["single"], pictures.size)
*_, trial = bench.try_edit(some, edit, TEMPLATES["single"])
print(trial)

# %% Recipe: the edit, what it needs, and what may be claimed of it
claim = claim_of(trial, "scenes rendered by this project", unseen=True)
recipe = make_recipe(bench.setup, edit, *question[1:], ClassTarget(0, 1), title="Past a note", claims=[claim])
print(recipe)

# %% Apply it: a plain CLIPModel of transformers, with the edit in it; it counts what it does
place = save_recipe(recipe, Path(tempfile.mkdtemp()) / "my-recipe")
model = CLIPModel.from_pretrained(ASSETS / "bundled" / "clip")
steered = apply_recipe(model, place)
processor = CLIPProcessor.from_pretrained(ASSETS / "bundled" / "clip")
texts = [f"a photo of a {name}" for name in question[1]]
inputs = processor(text=texts, images=Image.fromarray(trace.crop), return_tensors="pt", padding=True)
with torch.no_grad():
    plain, edited = (question[1][int(one(**inputs).logits_per_image.argmax())] for one in (model, steered))
print(f"The plain model says {plain!r}, with the recipe it says {edited!r}.")
print(steered.watch())
