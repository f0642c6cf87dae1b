from .history import NOTHING_DONE as NOTHING_DONE
from .history import History as History
from .journal_file import JournalError as JournalError
from .journal_file import JournalFile as JournalFile
from .run_journal import RunJournal as RunJournal
