"""python -m formats.catalogue: write formats/CATALOGUE.md anew."""

from formats.catalogue.page import PAGE, page

PAGE.write_text(page(), encoding="utf-8")
print(f"{PAGE} written")
