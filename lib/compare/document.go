package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"docksmith/lib/oci"
)

// manifests compares what manifests say beside config and layers.
func manifests(out *sink, a, b *Image) error {
	if a.Manifest == nil || b.Manifest == nil || bytes.Equal(a.Manifest, b.Manifest) {
		return nil
	}
	return documents(out, Manifest, a.Manifest, b.Manifest, func(m map[string]json.RawMessage) error {
		delete(m, "config")
		delete(m, "layers")
		return nil
	})
}

// configs compares what configs say beside history and layers.
func configs(out *sink, a, b *Image) error {
	if bytes.Equal(a.Config, b.Config) {
		return nil
	}
	return documents(out, Config, a.Config, b.Config, func(m map[string]json.RawMessage) error {
		delete(m, "history")
		delete(m, "rootfs")
		return environment(m)
	})
}

// bytesDiffer is the last resort: documents that say the same in other bytes.
func bytesDiffer(out *sink, a, b *Image) {
	if !bytes.Equal(a.Config, b.Config) {
		out.emit(Difference{Kind: Config, Change: Changed, What: []Aspect{Encoding}, Old: quoted(a.Config), New: quoted(b.Config)})
	}
	if a.Manifest != nil && b.Manifest != nil && !bytes.Equal(a.Manifest, b.Manifest) {
		out.emit(Difference{Kind: Manifest, Change: Changed, What: []Aspect{Encoding}, Old: quoted(a.Manifest), New: quoted(b.Manifest)})
	}
}

// quoted is a document, byte for byte, as a JSON string.
func quoted(raw []byte) json.RawMessage {
	s, err := oci.Marshal(string(raw))
	if err != nil {
		panic("compare: a string that is no JSON: " + err.Error())
	}
	return s
}

// documents compares two JSON objects, without what strip takes away. Members
// of objects are keys of their own, everything else is a value.
func documents(out *sink, kind Kind, a, b []byte, strip func(map[string]json.RawMessage) error) error {
	var sides [2]map[string]json.RawMessage
	for i, raw := range [][]byte{a, b} {
		members := map[string]json.RawMessage{}
		if err := json.Unmarshal(raw, &members); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		if err := strip(members); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		sides[i] = map[string]json.RawMessage{}
		leaves(sides[i], "", members, maxDepth)
	}
	keys := map[string]bool{}
	for _, side := range sides {
		for key := range side {
			keys[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		d := Difference{Kind: kind, Key: key, Change: Changed}
		was, had := sides[0][key]
		is, has := sides[1][key]
		switch {
		case !had:
			d.Change = Added
		case !has:
			d.Change = Deleted
		case bytes.Equal(was, is):
			continue
		}
		if had {
			d.Old = was
		}
		if has {
			d.New = is
		}
		if !out.emit(d) {
			break
		}
	}
	return nil
}

// maxDepth is how deep objects are taken apart. Each level reads all below it
// again, and a foreign document may have thousands.
const maxDepth = 8

// leaves flattens an object: its values in their shortest form, by their path.
func leaves(into map[string]json.RawMessage, prefix string, members map[string]json.RawMessage, depth int) {
	for name, raw := range members {
		key := prefix + keyName(name)
		var inner map[string]json.RawMessage
		if depth > 0 && json.Unmarshal(raw, &inner) == nil && len(inner) > 0 {
			leaves(into, key+".", inner, depth-1)
			continue
		}
		var b bytes.Buffer
		if json.Compact(&b, raw) != nil {
			continue // it was valid a moment ago
		}
		into[key] = b.Bytes()
	}
}

// keyName is a name in the path of a key, quoted if it could be taken for more
// than one.
func keyName(name string) string {
	if name != "" && strings.IndexFunc(name, func(r rune) bool {
		return r == '.' || r == '"' || r <= ' ' || r == 0x7f
	}) < 0 {
		return name
	}
	return string(quoted([]byte(name)))
}

// environment turns config.Env into an object, so that each variable is a key.
// A list that has a name twice is compared as a list.
func environment(m map[string]json.RawMessage) error {
	var config map[string]json.RawMessage
	if json.Unmarshal(m["config"], &config) != nil || config["Env"] == nil {
		return nil
	}
	var list []string
	if err := json.Unmarshal(config["Env"], &list); err != nil {
		return fmt.Errorf("config.Env: %w", err)
	}
	byName := map[string]string{}
	for _, kv := range list {
		name, value, ok := strings.Cut(kv, "=")
		if _, twice := byName[name]; twice || !ok || name == "" {
			return nil
		}
		byName[name] = value
	}
	var err error
	if config["Env"], err = oci.Marshal(byName); err == nil {
		m["config"], err = oci.Marshal(config)
	}
	return err
}
