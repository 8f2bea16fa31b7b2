package embedded

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

const (
	formatFile    = "FORMAT"
	formatPrefix  = "tidemill embedded log, format "
	formatVersion = 1
)

// formatIDPrefix begins the second line of the file: the id of the log, made with
// the directory and never changed. Stores of another log are told by it.
const formatIDPrefix = "id "

// checkFormat reads version and id of the directory, and writes them into a new
// one. A directory with data but without the file is damaged: the file is on disk
// before anything else is.
func checkFormat(o *Options) (id string, err error) {
	path := o.FS.PathJoin(o.Dir, formatFile)
	text, ok, err := readFile(o.FS, path)
	if err != nil {
		return "", err
	}
	if !ok {
		return createFormat(o)
	}
	first, second, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	digits, isOurs := strings.CutPrefix(first, formatPrefix)
	version, err := strconv.Atoi(digits)
	if !isOurs || err != nil || version < 1 {
		return "", damagedFormat(path)
	}
	if version != formatVersion {
		return "", fmt.Errorf("directory %s has format %d, this program reads format %d; use a newer program", o.Dir, version, formatVersion)
	}
	id, hasID := strings.CutPrefix(second, formatIDPrefix)
	if !hasID || id == "" {
		return "", damagedFormat(path)
	}
	return id, nil
}

func damagedFormat(path string) error {
	return fmt.Errorf("%w: %s does not name format and id of this log; restore the directory from a backup", commitlog.ErrCorrupt, path)
}

func createFormat(o *Options) (id string, err error) {
	names, err := listDir(o.FS, o.Dir)
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if _, isJournal := parseJournalName(name); isJournal || name == recoveryFile {
			return "", fmt.Errorf("%w: directory %s has %s but no %s; restore the directory from a backup", commitlog.ErrCorrupt, o.Dir, name, formatFile)
		}
	}
	id = o.NewID()
	return id, writeFile(o.FS, o.Dir, formatFile, fmt.Appendf(nil, "%s%d\n%s%s\n", formatPrefix, formatVersion, formatIDPrefix, id))
}
