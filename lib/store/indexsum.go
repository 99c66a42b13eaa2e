package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	"docksmith/lib/oci"
)

// Each entry that we write into an index.json, the store's or an archive's,
// carries a sum of itself as an annotation: nothing else proves a name. The sum
// is the entry's and not the file's, because other tools add entries, and keep
// the annotations of those they find.
const annotationSum = "dev.docksmith.sum"

// sumDigits is enough to find damage; it is no defence against a forger, who can
// compute it too.
const sumDigits = 16

// withSum gives an entry its sum.
func withSum(d oci.Descriptor) oci.Descriptor {
	sum := sumWithout(d, annotationSum)
	notes := maps.Clone(d.Annotations)
	if notes == nil {
		notes = map[string]string{}
	}
	notes[annotationSum] = sum
	d.Annotations = notes
	return d
}

// sumWithout is the sum of an entry but for one annotation.
func sumWithout(d oci.Descriptor, name string) string {
	d.Annotations = maps.Clone(d.Annotations)
	delete(d.Annotations, name)
	raw, err := oci.Marshal(d)
	if err != nil {
		return "" // cannot be: it was made of text
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])[:sumDigits]
}

// IndexProblems says what in an index.json is not what its sums say. Entries
// that other tools wrote have none; if all have one, then the document must be
// exactly as we write it.
func IndexProblems(raw []byte) []string {
	var idx oci.Index
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&idx); err != nil {
		return []string{err.Error()}
	}
	if _, err := oci.DecodeIndex(raw, ""); err != nil && len(raw) <= oci.MaxDocument {
		return []string{err.Error()}
	}
	var list []string
	ours := true
	for _, d := range idx.Manifests {
		ours = ours && d.Annotations[annotationSum] != ""
		if problem := entryProblem(d); problem != "" {
			list = append(list, fmt.Sprintf("the entry %s %s", entryOrDigest(d), problem))
		}
	}
	again := idx
	again.MediaType = oci.MediaTypeIndex
	if form, err := oci.Marshal(again); ours && len(list) == 0 && (err != nil || !bytes.Equal(form, raw)) {
		list = append(list, "it is not in the form in which it was written")
	}
	return list
}

func entryProblem(d oci.Descriptor) string {
	if sum, ok := d.Annotations[annotationSum]; ok {
		if sum != sumWithout(d, annotationSum) {
			return "does not have its sum"
		}
		return ""
	}
	// The name of the sum may be what was damaged.
	for name, value := range d.Annotations {
		if len(value) == sumDigits && value == sumWithout(d, name) {
			return fmt.Sprintf("has its sum under the name %q", name)
		}
	}
	return ""
}

// LayoutProblem says what is wrong with the file oci-layout, "" for nothing.
func LayoutProblem(raw []byte) string {
	var v struct {
		Version string `json:"imageLayoutVersion"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	// Names of members are matched without regard to case.
	if err := d.Decode(&v); err != nil || v.Version != "1.0.0" || !bytes.Contains(raw, []byte(`"imageLayoutVersion"`)) {
		return "is not that of version 1.0.0"
	}
	if rest := bytes.TrimSpace(raw[d.InputOffset():]); len(rest) > 0 {
		return "has something behind its document"
	}
	return ""
}
