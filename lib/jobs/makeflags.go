package jobs

import (
	"strconv"
	"strings"
)

// server is where MAKEFLAGS says that a jobserver is: two descriptors that were
// inherited, or the path of a FIFO.
type server struct {
	read, write int
	fifo        string
}

// noServer is a server that this process was not let in to, or that nobody can
// understand.
var noServer = server{read: -1, write: -1}

// findServer finds the jobserver that MAKEFLAGS names; false for none. The last
// word counts: make appends to what it inherited.
func findServer(makeflags string) (s server, ok bool) {
	for _, word := range splitFlags(makeflags) {
		if word == "--" {
			break // definitions of variables follow
		}
		name, value, _ := strings.Cut(word, "=")
		if name == "--jobserver-auth" || name == "--jobserver-fds" {
			s, ok = parseServer(value), true
		}
	}
	return s, ok
}

func parseServer(value string) server {
	if path, ok := strings.CutPrefix(value, "fifo:"); ok && path != "" {
		return server{read: -1, write: -1, fifo: path}
	}
	r, w, ok := strings.Cut(value, ",")
	read, rerr := strconv.Atoi(r)
	write, werr := strconv.Atoi(w)
	// Negative ones are how make says that the recipe is not one of a sub-make.
	if !ok || rerr != nil || werr != nil || read < 0 || write < 0 {
		return noServer
	}
	return server{read: read, write: write}
}

// splitFlags splits at blanks that no backslash makes part of a word.
func splitFlags(text string) []string {
	var words []string
	var word strings.Builder
	inside := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == ' ' || c == '\t':
			if inside {
				words = append(words, word.String())
				word.Reset()
			}
			inside = false
			continue
		case c == '\\' && i+1 < len(text):
			i++
		}
		inside = true
		word.WriteByte(text[i])
	}
	if inside {
		words = append(words, word.String())
	}
	return words
}
