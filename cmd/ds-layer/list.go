package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"docksmith/lib/cli"
	"docksmith/lib/layer"
)

const listLong = `
The columns are those of "tar --numeric-owner -tv", in UTC. The mode of a whiteout
begins with w and that of an opaque directory with o; the path is what they
hide. Bytes that cannot be printed are shown as \ooo. -z prints only the
paths, as they are. --json prints an object for each entry and a last one
with the type "end"; attributes are in base64.

    ds-layer diff before after | ds-layer list
    ds-layer list --json layer.tar | jq -r 'select(.type=="whiteout").path'
`

func listCommand() *cli.Command {
	var asJSON, zero bool
	return &cli.Command{
		Name:  "list",
		Args:  "[LAYER|-]",
		Short: "List the entries of a layer.",
		Long:  listLong,
		Flags: func(f *cli.Flags) {
			f.BoolVar(&asJSON, "json", false, "print JSON lines")
			f.BoolVarP(&zero, "null", "z", false, "print paths alone, each ended by NUL")
		},
		Run: func(ctx context.Context, s *cli.IO, args []string) error {
			show := listText
			switch {
			case asJSON && zero:
				return cli.Usagef("--json or -z, not both")
			case asJSON:
				show = listJSON
			case zero:
				show = func(w io.Writer, e *layer.Entry) error {
					_, err := io.WriteString(w, e.Path+"\x00")
					return err
				}
			}
			err := readTar(s, args, false, func(in *input) error {
				for e, err := range layer.Entries(in.plain) {
					if err == nil {
						err = ctx.Err()
					}
					if err == nil {
						err = show(s.Stdout, e)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err == nil && asJSON {
				err = s.End()
			}
			return err
		},
	}
}

// entryJSON is an entry with what JSON cannot hold in base64.
type entryJSON struct {
	layer.Entry
	PathBytes     []byte            `json:"pathBytes,omitempty"`
	LinknameBytes []byte            `json:"linknameBytes,omitempty"`
	Xattrs        map[string][]byte `json:"xattrs,omitempty"`
}

func listJSON(w io.Writer, e *layer.Entry) error {
	j := entryJSON{Entry: *e, PathBytes: notText(e.Path), LinknameBytes: notText(e.Linkname)}
	j.ModTime = e.ModTime.UTC()
	for k, v := range e.Xattrs {
		if j.Xattrs == nil {
			j.Xattrs = make(map[string][]byte)
		}
		j.Xattrs[k] = []byte(v)
	}
	return cli.WriteJSON(w, j)
}

// notText is a name if JSON cannot hold it as text.
func notText(name string) []byte {
	if utf8.ValidString(name) {
		return nil
	}
	return []byte(name)
}

const typeLetters = "-dlhcbpwo"

func listText(w io.Writer, e *layer.Entry) error {
	size := strconv.FormatInt(e.Size, 10)
	if e.Type == layer.TypeChar || e.Type == layer.TypeBlock {
		size = fmt.Sprintf("%d,%d", e.Major, e.Minor)
	}
	path := cli.Escape(e.Path)
	switch e.Type {
	case layer.TypeDir:
		path += "/"
	case layer.TypeSymlink:
		path += " -> " + cli.Escape(e.Linkname)
	case layer.TypeLink:
		path += " link to " + cli.Escape(e.Linkname)
	}
	// Owner and size share a width, as tar(1) has it, without looking ahead.
	owner := fmt.Sprintf("%d/%d", e.UID, e.GID)
	_, err := fmt.Fprintf(w, "%s %s %*s %s %s\n", modeText(e), owner, max(0, 18-len(owner)), size,
		e.ModTime.UTC().Format(time.DateTime)[:len("2006-01-02 15:04")], path)
	return err
}

// modeText is the first column of ls -l.
func modeText(e *layer.Entry) string {
	b := []byte("?rwxrwxrwx")
	if int(e.Type) < len(typeLetters) {
		b[0] = typeLetters[e.Type]
	}
	for i := range 9 {
		if e.Mode&(1<<(8-i)) == 0 {
			b[i+1] = '-'
		}
	}
	for _, special := range []struct {
		bit     uint32
		at      int
		letters string
	}{{0o4000, 3, "sS"}, {0o2000, 6, "sS"}, {0o1000, 9, "tT"}} {
		if e.Mode&special.bit == 0 {
			continue
		}
		if b[special.at] == 'x' {
			b[special.at] = special.letters[0]
		} else {
			b[special.at] = special.letters[1]
		}
	}
	return string(b)
}
