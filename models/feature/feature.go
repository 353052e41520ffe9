// Package feature owns the versioned contract of feature vectors: names, order,
// types, units, what missing means, and the hash that models are bound to. The
// sets are generated from the struct definitions of the stream, so that stream,
// tables, Arrow schemas, models and documents cannot say different things.
package feature

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Type is a feature's type in storage and in Arrow; in a vector everything is a float64.
type Type uint8

const (
	// Count is a whole number from 0 on, stored as UInt32.
	Count Type = iota
	// Amount is a whole number that may be negative, stored as Int64.
	Amount
	// Real is stored as Float64.
	Real
)

// String is the type's name in documents and in the hash.
func (t Type) String() string { return [...]string{"count", "amount", "real"}[t] }

// Feature is one place of a vector.
type Feature struct {
	// Name is lower-case with underscores; windowed ones end in their window: sessions_24h.
	Name string
	Type Type
	// Unit is what 1 means: "sessions", "s", "ms", "minor units".
	Unit string
	// Nullable says that it can be missing: NaN in vectors, −1 on the stream, NULL in tables and files.
	Nullable bool
	// Default stands in for a missing one in models that cannot take NaN.
	Default float64
	// Elapsed says that it depends on the time of scoring and is computed from the stored ones, not stored.
	Elapsed bool
	// Doc is one or two sentences.
	Doc string
}

// Set is one version of a contract. A change of names, order, types, units or
// defaults is another version, with another hash.
type Set struct {
	Name    string
	Version int
	// Key names the entity: player_id.
	Key string
	// TTLMS is how old the newest event behind a vector may be (ms) before it is stale.
	TTLMS int64
	// Features in the vector's order.
	Features []Feature

	hash  string
	index map[string]int
}

// New makes a set; it panics when two features share a name, which is a fault of the definition.
func New(s Set) *Set {
	s.index = make(map[string]int, len(s.Features))
	text := fmt.Appendf(nil, "%s %d %s\n", s.Name, s.Version, s.Key)
	for i, f := range s.Features {
		if _, twice := s.index[f.Name]; twice {
			panic("feature: " + s.Name + " has two features " + f.Name)
		}
		s.index[f.Name] = i
		text = fmt.Appendf(text, "%s %s %q %t %s %t\n", f.Name, f.Type, f.Unit, f.Nullable, strconv.FormatFloat(f.Default, 'g', -1, 64), f.Elapsed)
	}
	sum := sha256.Sum256(text)
	s.hash = hex.EncodeToString(sum[:])
	return &s
}

// Hash is the SHA-256 of the contract in hex: of everything but the documents and the TTL.
func (s *Set) Hash() string { return s.hash }

// Index of a feature in the vector, −1 when the set has none of that name.
func (s *Set) Index(name string) int {
	if i, ok := s.index[name]; ok {
		return i
	}
	return -1
}

// Names in the vector's order. The caller owns the slice.
func (s *Set) Names() []string {
	names := make([]string, len(s.Features))
	for i, f := range s.Features {
		names[i] = f.Name
	}
	return names
}

// Errors of Check, for errors.Is.
var (
	ErrLength    = errors.New("feature: the vector has another length than its set")
	ErrNotFinite = errors.New("feature: not a finite number")
)

// Check refuses vectors that no model may score: another length, an infinity, or a
// NaN where the feature cannot be missing. It allocates only for the error.
func (s *Set) Check(x []float64) error {
	if len(x) != len(s.Features) {
		return fmt.Errorf("%w: %d instead of %d", ErrLength, len(x), len(s.Features))
	}
	for i, v := range x {
		// v−v is 0 for everything finite and NaN for NaN and infinities.
		if v-v != 0 && !(math.IsNaN(v) && s.Features[i].Nullable) {
			return fmt.Errorf("%w: %s is %v", ErrNotFinite, s.Features[i].Name, v)
		}
	}
	return nil
}

// ToStream replaces NaN by −1, in place: JSON has no NaN, and no nullable feature is negative.
func ToStream(x []float64) {
	for i, v := range x {
		if math.IsNaN(v) {
			x[i] = -1
		}
	}
}

// FromStream undoes ToStream, in place.
func (s *Set) FromStream(x []float64) {
	for i := range min(len(x), len(s.Features)) {
		if x[i] == -1 && s.Features[i].Nullable {
			x[i] = math.NaN()
		}
	}
}

// Position says where each of names stands in the set, for a model that was trained on a selection.
func (s *Set) Position(names []string) ([]int, error) {
	at := make([]int, len(names))
	for i, name := range names {
		if at[i] = s.Index(name); at[i] < 0 {
			return nil, fmt.Errorf("feature: set %s version %d has no feature %q", s.Name, s.Version, name)
		}
		if slices.Index(names[:i], name) >= 0 {
			return nil, fmt.Errorf("feature: %q is named twice", name)
		}
	}
	return at, nil
}
