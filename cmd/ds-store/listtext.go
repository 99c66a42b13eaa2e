package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// listOutput is how ls prints for people, and by a template.
type listOutput struct {
	format         string
	human, noTrunc bool
}

func (o *listOutput) declare(f *cli.Flags) {
	f.StringVarP(&o.format, "format", "f", "", formatUsage)
	f.Complete("format", "json,table")
	f.BoolVarP(&o.human, "human", "H", true, "print sizes in kB and MB; --human=false: in bytes")
	f.BoolVar(&o.noTrunc, "no-trunc", false, "print the whole digest as ID")
}

// cells are what a row shows of an image.
func (o *listOutput) cells(stdio *cli.IO, e store.Entry) (name, tag, id, created, size string) {
	name, tag = splitName(e.Name)
	created, size = timestamp(e.Created), sizeText(e.Size, o.human)
	if e.Err != nil {
		stdio.Warnf("%s: %v", name, e.Err)
		size = "?"
	}
	if created == "" {
		created = "?"
	}
	if id = e.Descriptor.Digest.String(); !o.noTrunc {
		id = e.Descriptor.Digest.Encoded()[:12]
	}
	return name, tag, id, created, size
}

func (o *listOutput) text(stdio *cli.IO, list []store.Entry) error {
	w := tabwriter.NewWriter(stdio.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tTAG\tID\tCREATED\tSIZE")
	for _, e := range list {
		name, tag, id, created, size := o.cells(stdio, e)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", name, tag, id, created, size)
	}
	return w.Flush()
}

// listView is what a template sees of an image in a list.
type listView struct {
	entry listed

	Name, Repository, Tag, ID, Digest, MediaType, CreatedAt, CreatedSince, Size string
}

// MarshalJSON is the line of --json: what {{json .}} prints, and its members.
func (v listView) MarshalJSON() ([]byte, error) { return oci.Marshal(v.entry) }

var listHeader = map[string]string{
	"Name": "NAME", "Repository": "REPOSITORY", "Tag": "TAG", "ID": "IMAGE ID", "Digest": "DIGEST", "MediaType": "MEDIA TYPE",
	"CreatedAt": "CREATED AT", "CreatedSince": "CREATED", "Size": "SIZE",
}

func (o *listOutput) template(stdio *cli.IO, list []store.Entry) error {
	f, err := newFormatter(stdio.Stdout, o.format, listHeader)
	if err != nil {
		return err
	}
	for _, e := range list {
		v := listView{entry: describeEntry(e), Name: e.Name, Digest: e.Descriptor.Digest.String(), MediaType: e.Descriptor.MediaType}
		v.Repository, v.Tag, v.ID, v.CreatedAt, v.Size = o.cells(stdio, e)
		if !e.Created.IsZero() {
			v.CreatedSince = since(e.Created, time.Now())
		}
		if err := f.write(v); err != nil {
			return err
		}
	}
	return f.close()
}
