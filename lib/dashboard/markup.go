package dashboard

import (
	"fmt"
	"io"
	"strings"

	"docksmith/lib/cli"
)

// element is an element of HTML or SVG. Its text and the values of its
// attributes may be foreign: they are escaped when it is written, and there is
// no way around that but for [element.style]. The names are ours. It takes the
// place of html/template, which would make the program larger by a fifth and
// allocate 18 kB at each start of it, whatever that is for.
type element struct {
	name  string
	attrs []string // name, value, name, value
	kids  []any    // *element, string, or raw
}

// raw is text that is written as it is: a style sheet.
type raw string

// e makes an element with attributes: names, each before its value.
func e(name string, attrs ...string) *element {
	if len(attrs)%2 != 0 {
		panic("dashboard: an attribute of " + name + " has no value")
	}
	return &element{name: name, attrs: attrs}
}

// add puts elements into it; nil stands for none.
func (el *element) add(kids ...*element) *element {
	for _, k := range kids {
		if k != nil {
			el.kids = append(el.kids, k)
		}
	}
	return el
}

// text puts text into it.
func (el *element) text(format string, args ...any) *element {
	el.kids = append(el.kids, fmt.Sprintf(format, args...))
	return el
}

// style puts a style sheet of ours into it.
func (el *element) style(sheet raw) *element {
	el.kids = append(el.kids, sheet)
	return el
}

// write writes the element as HTML that is well-formed XML, too.
func (el *element) write(w io.Writer) error {
	var b strings.Builder
	el.print(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (el *element) print(b *strings.Builder) {
	b.WriteString("<" + el.name)
	for i := 0; i < len(el.attrs); i += 2 {
		b.WriteString(" " + el.attrs[i] + `="` + escape(el.attrs[i+1]) + `"`)
	}
	if el.name == "meta" { // the one we use that must not be closed by a tag of its own
		b.WriteString("/>\n")
		return
	}
	b.WriteString(">")
	for _, k := range el.kids {
		switch k := k.(type) {
		case *element:
			k.print(b)
		case string:
			b.WriteString(escape(k))
		case raw:
			b.WriteString(string(k))
		}
	}
	b.WriteString("</" + el.name + ">")
	switch el.name {
	case "tr", "section", "g", "p", "dl", "h2", "head", "style", "title", "svg":
		b.WriteString("\n")
	}
}

// escape makes foreign text harmless in an element and in a quoted attribute:
// no markup, nothing that steers, and no character that XML does not know.
func escape(s string) string {
	s = strings.Map(func(r rune) rune {
		switch r {
		case '\n', '\t', '\r':
			return ' '
		case 0xfffe, 0xffff:
			return '?'
		}
		return r
	}, s)
	return escaper.Replace(cli.Printable(s))
}
