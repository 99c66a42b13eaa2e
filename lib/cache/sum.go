package cache

import (
	"bytes"
	"encoding/hex"

	"github.com/zeebo/blake3"
)

// Every JSON document of the cache ends with a member "sum": the beginning of
// the BLAKE3 digest of all that stands before it. It finds damage; it is no
// defence against a forger, who can compute it too.

const (
	sumMember = `,"sum":"`
	sumDigits = 16
	sumEnd    = `"}`
)

func sumOf(data []byte) string {
	sum := blake3.Sum256(data)
	return hex.EncodeToString(sum[:sumDigits/2])
}

// addSum puts the sum into an encoded object that has other members.
func addSum(object []byte) []byte {
	object = bytes.TrimSuffix(object, []byte("}"))
	sum := sumOf(object)
	return append(append(append(object, sumMember...), sum...), sumEnd...)
}

// sumState is what a sum says.
type sumState uint8

const (
	sumMissing sumState = iota // as older versions wrote it
	sumWrong
	sumRight
)

// checkSum looks at the sum of a document, around which there may be space.
func checkSum(data []byte) sumState {
	data = bytes.TrimSpace(data)
	at := len(data) - len(sumMember) - sumDigits - len(sumEnd)
	if at < 0 || string(data[at:at+len(sumMember)]) != sumMember || !bytes.HasSuffix(data, []byte(sumEnd)) {
		return sumMissing
	}
	if string(data[at+len(sumMember):][:sumDigits]) != sumOf(data[:at]) {
		return sumWrong
	}
	return sumRight
}
