package elf

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// maxApplets bounds the size of a file in which applets are looked for.
const maxApplets = 64 << 20

// Applets returns the names under which a busybox can be started, sorted. They
// are read from the table in the file: the binary is not executed. The names
// are nil when the file has no such table.
func Applets(root, name string) ([]string, error) {
	t, err := openTree(root)
	if err != nil {
		return nil, fmt.Errorf("applets in %s: %w", root, err)
	}
	defer t.root.Close()
	f, p, err := t.open(name)
	if err != nil {
		return nil, fmt.Errorf("applets of %s: %w", name, err)
	}
	defer f.Close()
	if p.info.Size() > maxApplets {
		return nil, fmt.Errorf("applets of %s: larger than %d bytes", name, maxApplets)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxApplets))
	if err != nil {
		return nil, fmt.Errorf("applets of %s: %w", name, err)
	}
	return appletTable(content), nil
}

// appletTable finds the one run of names in strictly ascending order, each
// ended by a NUL, that has "busybox" and "sh" in it.
func appletTable(content []byte) []string {
	var run []string
	for len(content) > 0 {
		word, rest, _ := bytes.Cut(content, []byte{0})
		content = rest
		if isApplet(word) && (len(run) == 0 || string(word) > run[len(run)-1]) {
			run = append(run, string(word))
			continue
		}
		if slices.Contains(run, "busybox") && slices.Contains(run, "sh") {
			return run
		}
		run = run[:0]
		if isApplet(word) {
			run = append(run, string(word))
		}
	}
	return nil
}

func isApplet(word []byte) bool {
	if len(word) == 0 || len(word) > 32 || word[0] == '-' || word[0] == '.' {
		return false
	}
	for _, c := range word {
		if !isNameByte(c) && !bytes.ContainsRune([]byte("[.-+"), rune(c)) {
			return false
		}
	}
	return true
}
