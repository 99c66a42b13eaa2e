package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"text/template"
	"time"
	"unicode"

	"docksmith/lib/cli"
	"docksmith/lib/oci"
)

const formatUsage = "print each with the Go template `TEMPLATE`"

// formatHelp is what the help of a command with --format says of it.
const formatHelp = `TEMPLATE is a Go template with the functions json, join, split, lower, upper, title, pad and
truncate; "\t" and "\n" in it mean a tab and a newline`

// formatter writes values by a Go template, each closed by a newline: for
// scripts that were written for docker, what those use works alike.
type formatter struct {
	template *template.Template
	table    *tabwriter.Writer // of a format that begins with "table "
	out      io.Writer
}

// newFormatter reads a template. header says what stands above the columns of a
// table: the name of each field there is.
func newFormatter(w io.Writer, text string, header map[string]string) (*formatter, error) {
	f := &formatter{out: w}
	columns, isTable := strings.CutPrefix(text, "table ")
	if isTable = isTable && header != nil; isTable {
		text = strings.TrimSpace(columns)
		f.table = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		f.out = f.table
	}
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text)
	var err error
	f.template, err = template.New("--format").Funcs(formatFuncs).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, cli.Usagef("%s", strings.TrimPrefix(err.Error(), "template: "))
	}
	if isTable {
		return f, f.write(header)
	}
	return f, nil
}

// write writes one value. A template that asks for what the value's Go fields
// do not have is tried on its JSON document, whose members have other names.
func (f *formatter) write(v any) error {
	var b bytes.Buffer
	err := f.template.Execute(&b, v)
	if err != nil {
		var missing template.ExecError
		if doc, ok := document(v); ok && errors.As(err, &missing) {
			b.Reset()
			if f.template.Execute(&b, doc) == nil {
				err = nil
			}
		}
	}
	if err != nil {
		text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "template: "), " in type ")
		return &cli.StatusError{Status: 2, Err: errors.New(text)}
	}
	b.WriteByte('\n')
	_, err = f.out.Write(b.Bytes())
	return err
}

// document is v as JSON has it.
func document(v any) (any, bool) {
	raw, err := oci.Marshal(v)
	if err != nil {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var doc any
	return doc, d.Decode(&doc) == nil
}

func (f *formatter) close() error {
	if f.table != nil {
		return f.table.Flush()
	}
	return nil
}

var formatFuncs = template.FuncMap{
	"json": func(v any) (string, error) {
		raw, err := oci.Marshal(v)
		return string(raw), err
	},
	"join":  join,
	"split": strings.Split,
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
	"title": title,
	"pad": func(s string, before, after int) string {
		return strings.Repeat(" ", max(0, before)) + s + strings.Repeat(" ", max(0, after))
	},
	"truncate": func(s string, n int) string {
		if r := []rune(s); n >= 0 && len(r) > n {
			return string(r[:n])
		}
		return s
	},
}

// join is strings.Join for a list of anything.
func join(list any, separator string) (string, error) {
	v := reflect.ValueOf(list)
	if !v.IsValid() {
		return "", nil
	}
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
		return "", fmt.Errorf("join: %T is no list", list)
	}
	var words []string
	for i := range v.Len() {
		words = append(words, fmt.Sprint(v.Index(i)))
	}
	return strings.Join(words, separator), nil
}

// title begins every word with a capital.
func title(s string) string {
	start := true
	return strings.Map(func(r rune) rune {
		was := start
		start = !unicode.IsLetter(r) && !unicode.IsDigit(r)
		if was {
			return unicode.ToTitle(r)
		}
		return r
	}, s)
}

// since is how long ago t was, in words.
func since(t, now time.Time) string {
	d := now.Sub(t)
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"year", 365 * 24 * time.Hour}, {"month", 30 * 24 * time.Hour}, {"week", 7 * 24 * time.Hour}, {"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}} {
		if n := int(d / u.unit); n > 1 {
			return fmt.Sprintf("%d %ss ago", n, u.name)
		} else if n == 1 {
			return fmt.Sprintf("1 %s ago", u.name)
		}
	}
	return "now"
}
