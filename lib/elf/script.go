package elf

import (
	"bytes"
	"io"
	"path"
	"strings"
)

// maxShebang is more than any kernel reads of a first line.
const maxShebang = 4096

// shebang returns the words of a script's first line, or none.
func shebang(r io.ReaderAt) []string {
	buf := make([]byte, maxShebang)
	n, _ := r.ReadAt(buf, 0)
	line, ok := bytes.CutPrefix(buf[:n], []byte("#!"))
	if !ok {
		return nil
	}
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	return strings.Fields(string(line))
}

// envCommand returns the program that a "#!/usr/bin/env ..." line starts, "" if
// the line is not of that kind.
func envCommand(words []string) string {
	if path.Base(words[0]) != "env" {
		return ""
	}
	for _, w := range words[1:] {
		if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") {
			return w
		}
	}
	return ""
}
