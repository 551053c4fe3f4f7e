"""Write the schemas; run in the project's folder."""

from groundup.files import write_text
from pipelines.schemas import schemas

for path, text in schemas().items():
    write_text(path, text)
