package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// aliasSchema names the version of the form of an alias.
const aliasSchema = "docksmith.alias/1"

// maxAlias bounds the file of an alias.
const maxAlias = 64 << 10

// alias is another name of a record. Its file is a line of words, the last of which is
// the sum of what stands before it: read by each cached step, it is spared JSON.
type alias struct {
	key  string // its own
	of   string // the record's
	seen string
}

// Alias makes p another name of the record of a key, for those who do not want to read
// the files that the key was made of. Seen, a word or nothing, stands for how they were:
// only with the same is the record found. P has one alias, the last.
func (c *Cache) Alias(p *Preimage, seen, of string) error {
	a := &alias{key: p.Key(), of: of, seen: seen}
	digits, err := checkKey(a.key)
	if err == nil {
		err = c.publish(c.path(aliases, digits, ""), func(w io.Writer) error {
			_, err := io.WriteString(w, a.line())
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("put alias of %s: %w", of, err)
	}
	return nil
}

// LookupAlias is Lookup of the record that Alias gave the name p. If there is no such
// alias, or it was given to something else than seen, it is a miss.
func (c *Cache) LookupAlias(p *Preimage, seen string) (*Record, bool, error) {
	key := p.Key()
	digits, err := checkKey(key)
	if err != nil {
		return nil, false, err
	}
	a, err := readAlias(c.path(aliases, digits, ""))
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDamaged):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("look up alias %s: %w", key, err)
	case a.key != key || a.seen != seen:
		return nil, false, nil
	}
	return c.Lookup(a.of)
}

const nothingSeen = "-"

func (a *alias) line() string {
	seen := a.seen
	if seen == "" {
		seen = nothingSeen
	}
	text := strings.Join([]string{aliasSchema, a.key, a.of, seen}, " ")
	return text + " " + sumOf([]byte(text)) + "\n"
}

// readAlias gives errDamaged for a file that is not as it was written.
func readAlias(path string) (*alias, error) {
	line, err := readPlain(path, maxAlias)
	if err != nil {
		return nil, err
	}
	a := parseAlias(string(line))
	if a == nil {
		return nil, fmt.Errorf("%s: %w", path, errDamaged)
	}
	return a, nil
}

// parseAlias gives nil for a line that is not as it was written.
func parseAlias(line string) *alias {
	words := strings.Fields(line)
	if len(words) != 5 {
		return nil
	}
	a := &alias{key: words[1], of: words[2], seen: strings.TrimPrefix(words[3], nothingSeen)}
	if _, err := checkKey(a.of); err != nil || a.line() != line {
		return nil
	}
	return a
}
