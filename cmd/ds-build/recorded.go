package main

import (
	"bytes"
	"encoding/json"
	"os"

	"docksmith/lib/build"
	"docksmith/lib/oci"
	"docksmith/lib/plan"
)

// inputsRecord is all that the build was made from, but for the files of its
// contexts and for secrets: enough to do it again. Only the build's log has it,
// and only if the build did anything: an image of cached steps has it in the
// log of the build that made them.
type inputsRecord struct {
	Type      string            `json:"type"`
	Directory string            `json:"directory,omitempty"` // that names of files are relative to
	Plan      json.RawMessage   `json:"plan"`
	Args      map[string]string `json:"args,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Contexts  map[string]string `json:"contexts,omitempty"`
	Hosts     []string          `json:"hosts,omitempty"`
	Allow     []string          `json:"allow,omitempty"`
	Target    string            `json:"target,omitempty"`
	Platform  string            `json:"platform,omitempty"`
	Compress  string            `json:"compress,omitempty"`
	Network   string            `json:"network,omitempty"`
	Bases     map[string]string `json:"bases,omitempty"` // digests of manifests by name
}

// record notes in the log what the result was made from.
func (b *builder) record(r *build.Result) {
	if b.journal.log == nil || r.Misses == 0 && r.Hits > 0 {
		return
	}
	var text bytes.Buffer
	if err := plan.Encode(&text, b.in.plan); err != nil {
		return // it was read, so it can be written
	}
	rec := inputsRecord{
		Type: "inputs", Plan: bytes.TrimSpace(text.Bytes()), Args: b.settings.args, Labels: b.settings.labels, Contexts: b.settings.contexts,
		Hosts: b.o.hosts, Allow: b.o.allow, Target: b.o.target, Compress: b.settings.compression.String(), Network: b.o.network, Bases: b.store.bases(),
	}
	rec.Platform = b.o.platform
	if dir, err := os.Getwd(); err == nil {
		rec.Directory = dir
	}
	b.journal.log.Record(rec)
}

// bases are the images that were read, by the names that they were asked for by.
func (i *images) bases() map[string]string {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := map[string]string{}
	for ref := range i.asked {
		if _, err := oci.ParseRef(ref); err != nil {
			continue
		}
		if d, err := i.Resolve(ref); err == nil {
			list[ref] = d.Digest.String()
		}
	}
	return list
}
