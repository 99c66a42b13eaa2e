// Package volume keeps volumes: directories of files that containers share and
// that outlive them. It makes, finds, fills for the first time and removes them;
// mounting is the sandbox's.
//
// A volume is a directory of the set's, with the record volume.json and the files
// in data/. It appears and goes by rename, so there is never half of one. Whoever
// uses a volume holds a lock on it, without which it may be removed by others; a
// killed user's lock is the kernel's to drop.
//
//	s := volume.Open(filepath.Join(root, "volumes"))
//	v, err := s.Create("pgdata", volume.Options{})
//	hold, err := v.Hold()
//	defer hold.Close()
//	use(v.Data())
package volume

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Schema names the form of a record.
const Schema = "docksmith.volume/1"

// Errors that callers ask for.
var (
	ErrNotFound = errors.New("no such volume")
	ErrInUse    = errors.New("in use")
	ErrName     = errors.New("a name has two or more letters and digits, with _, . and - behind the first")
)

// The files of a volume.
const (
	recordFile  = "volume.json"
	dataDir     = "data"
	fillingFile = "filling" // there while data is being filled
)

// Names that are none of a volume.
const (
	newPrefix  = ".new-"
	gonePrefix = ".gone-"
)

// Record is what is known of a volume.
type Record struct {
	Schema  string    `json:"schema"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Anonymous says that nobody chose the name: it was made for one container.
	Anonymous bool              `json:"anonymous,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
}

// Options say what a new volume is to be.
type Options struct {
	Anonymous bool
	Labels    map[string]string
}

// Set is a directory of volumes. Nothing is made before the first one.
type Set struct{ dir string }

// Open gives the volumes in dir.
func Open(dir string) *Set { return &Set{dir} }

// Volume is one that was there when it was asked for.
type Volume struct {
	Record
	dir string
}

// Data is the directory with the volume's files.
func (v *Volume) Data() string { return filepath.Join(v.dir, dataDir) }

// ValidName tells whether a volume may have this name: Docker's rule.
func ValidName(name string) bool {
	if len(name) < 2 || len(name) > 200 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || strings.IndexByte("_.-", c) < 0) {
			return false
		}
	}
	return true
}

// Create makes a volume, or finds the one of that name, as it is. Without a name
// it gets a random one. Safe for concurrent use.
func (s *Set) Create(name string, o Options) (*Volume, error) {
	if name == "" {
		var id [32]byte
		_, _ = rand.Read(id[:]) // never fails
		name = hex.EncodeToString(id[:])
	}
	for {
		if v, err := s.Get(name); !errors.Is(err, ErrNotFound) {
			return v, err
		}
		v := &Volume{Record{Schema, name, time.Now().UTC(), o.Anonymous, o.Labels}, filepath.Join(s.dir, name)}
		err := s.make(v)
		if errors.Is(err, fs.ErrExist) {
			continue // another one was faster
		}
		if err != nil {
			return nil, fmt.Errorf("make volume %s: %w", name, err)
		}
		return v, nil
	}
}

func (s *Set) make(v *Volume) (err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(s.dir, newPrefix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(temp)
		}
	}()
	raw, err := json.Marshal(v.Record)
	if err != nil {
		return err
	}
	data := filepath.Join(temp, dataDir)
	if err := errors.Join(os.Mkdir(data, 0o755), os.Chmod(data, 0o755)); err != nil { // whatever the umask
		return err
	}
	if err := os.WriteFile(filepath.Join(temp, recordFile), append(raw, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, v.dir) // onto no directory that has something in it
}

// Get finds a volume; ErrNotFound without one.
func (s *Set) Get(name string) (*Volume, error) {
	if !ValidName(name) {
		return nil, fmt.Errorf("volume %q: %w", name, ErrName)
	}
	v := &Volume{dir: filepath.Join(s.dir, name)}
	raw, err := os.ReadFile(filepath.Join(v.dir, recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("volume %s: %w", name, ErrNotFound)
	}
	if err == nil {
		err = json.Unmarshal(raw, &v.Record)
	}
	if err == nil && (v.Schema != Schema || v.Name != name) {
		err = fmt.Errorf("%s: it is of %q, and the schema is %q, not %s", recordFile, v.Name, v.Schema, Schema)
	}
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", name, err)
	}
	return v, nil
}

// List gives all volumes, by name.
func (s *Set) List() ([]*Volume, error) {
	names, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	var list []*Volume
	for _, n := range names {
		if !ValidName(n.Name()) {
			continue
		}
		v, err := s.Get(n.Name())
		if errors.Is(err, ErrNotFound) {
			continue // it went this moment
		}
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b *Volume) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}
