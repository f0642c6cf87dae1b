from .script import standalone_script as standalone_script
