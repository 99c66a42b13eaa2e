package sandbox

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// MaxSecret is the most bytes that a secret may have.
const MaxSecret = 500 << 10

// secretRecord is a line of the stream that brings secrets from one program to
// another: {"type":"secret","id":ID,"value":BASE64}, closed by {"type":"end"}.
type secretRecord struct {
	Type  string `json:"type"`
	ID    string `json:"id,omitempty"`
	Value []byte `json:"value,omitempty"`
}

// WriteSecrets writes secrets, by name, for ReadSecrets.
func WriteSecrets(w io.Writer, secrets map[string][]byte) error {
	enc := json.NewEncoder(w)
	for _, id := range slices.Sorted(maps.Keys(secrets)) {
		if err := enc.Encode(secretRecord{"secret", id, secrets[id]}); err != nil {
			return err
		}
	}
	return enc.Encode(secretRecord{Type: "end"})
}

// ReadSecrets reads what WriteSecrets wrote. A stream without its end is an
// error; no error holds anything of a secret.
func ReadSecrets(r io.Reader) (map[string][]byte, error) {
	secrets := map[string][]byte{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 2*MaxSecret)
	for lines.Scan() {
		var record secretRecord
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			return nil, errors.New("read secrets: a line is no JSON record")
		}
		switch record.Type {
		case "secret":
			secrets[record.ID] = record.Value
		case "end":
			return secrets, nil
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	return nil, fmt.Errorf("read secrets: %w", io.ErrUnexpectedEOF)
}
