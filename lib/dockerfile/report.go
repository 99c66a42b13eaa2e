package dockerfile

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// Report is what checks found in a file, for people and programs.
type Report struct {
	// File is what the findings call the file, Version the version of the
	// program that made them.
	File, Version string
	Findings      []Finding
}

// Line is a finding as compilers print theirs.
func (r Report) Line(f Finding) string {
	return fmt.Sprintf("%s:%d: warning: %s [%s]", r.File, f.Line, f.Text, f.Rule)
}

// Formats are the names that [Report.Write] takes.
const (
	FormatText  = "text"  // one line for each finding
	FormatJSON  = "json"  // one record a line, closed by one of type "end"
	FormatSARIF = "sarif" // one SARIF 2.1.0 document
)

// Write writes the report in a format.
func (r Report) Write(w io.Writer, format string) error {
	b := bufio.NewWriter(w)
	var err error
	switch format {
	case FormatText:
		for _, f := range r.Findings {
			fmt.Fprintln(b, r.Line(f)) // a failure is Flush's
		}
	case FormatJSON:
		err = r.json(b)
	case FormatSARIF:
		err = encoder(b).Encode(r.sarif())
	default:
		return fmt.Errorf("format %q is none of text, json and sarif", format)
	}
	if err != nil {
		return err
	}
	return b.Flush()
}

func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

func (r Report) json(w io.Writer) error {
	e := encoder(w)
	for _, f := range r.Findings {
		record := struct {
			Type string `json:"type"`
			File string `json:"file"`
			Line int    `json:"line"`
			Rule string `json:"rule"`
			Text string `json:"text"`
		}{"finding", r.File, f.Line, f.Rule, f.Text}
		if err := e.Encode(record); err != nil {
			return err
		}
	}
	return e.Encode(struct {
		Type     string `json:"type"`
		Findings int    `json:"findings"`
	}{"end", len(r.Findings)})
}

// The members of SARIF that we fill.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool struct {
			Driver sarifDriver `json:"driver"`
		} `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string    `json:"id"`
		Summary sarifText `json:"shortDescription"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical struct {
			Artifact struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
			Region struct {
				StartLine int `json:"startLine"`
			} `json:"region"`
		} `json:"physicalLocation"`
	}
)

func (r Report) sarif() sarifLog {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "docksmith", Version: r.Version}
	index := map[string]int{}
	for i, rule := range Catalogue {
		index[rule.Name] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{rule.Name, sarifText{rule.Summary}})
	}
	uri := fileURI(r.File)
	for _, f := range r.Findings {
		var at sarifLocation
		at.Physical.Artifact.URI, at.Physical.Region.StartLine = uri, f.Line
		run.Results = append(run.Results, sarifResult{f.Rule, index[f.Rule], "warning", sarifText{f.Text}, []sarifLocation{at}})
	}
	return sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}}
}

// fileURI is the name of a file as a URI, relative if the name is.
func fileURI(name string) string {
	name = filepath.ToSlash(name)
	var b strings.Builder
	if strings.HasPrefix(name, "/") {
		b.WriteString("file://")
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if only(strings.ToLower(string(rune(c))), "abcdefghijklmnopqrstuvwxyz/-._~") {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
