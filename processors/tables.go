package processors

import (
	"fmt"
	"strconv"
	"strings"
	"unsafe"
)

// tables are the tables of a stage's rules, under their change-log keys: "<rule>/<number>/<key>".
type tables []ruleTable

type ruleTable struct {
	prefix string
	Staged
}

// add takes in the tables of one rule.
func (ts *tables) add(rule string, own []Staged) {
	for i, table := range own {
		*ts = append(*ts, ruleTable{prefix: rule + "/" + strconv.Itoa(i) + "/", Staged: table})
	}
}

// changes lists every changed key, in memory of the arena.
func (ts tables) changes(a *keyArena, each func(key string, value []byte)) {
	for _, table := range ts {
		table.Changes(func(key string, value []byte) {
			start := len(a.bytes)
			a.bytes = append(append(a.bytes, table.prefix...), key...)
			each(a.key(start), value)
		})
	}
}

// snapshot lists every committed key. Keys are valid during the call of each only.
func (ts tables) snapshot(each func(key string, value []byte)) {
	var key []byte
	for _, table := range ts {
		key = append(key[:0], table.prefix...)
		table.Snapshot(func(rest string, value []byte) {
			key = append(key[:len(table.prefix)], rest...)
			each(unsafe.String(&key[0], len(key)), value)
		})
	}
}

func (ts tables) commit() {
	for _, table := range ts {
		table.Commit()
	}
}

func (ts tables) rollback() {
	for _, table := range ts {
		table.Rollback()
	}
}

// restore puts back one change-log entry.
func (ts tables) restore(key string, value []byte) error {
	for _, table := range ts {
		if rest, ok := strings.CutPrefix(key, table.prefix); ok {
			if err := table.Restore(rest, value); err != nil {
				return fmt.Errorf("change-log key %q: %w", key, err)
			}
			return nil
		}
	}
	var prefixes []string
	for _, table := range ts {
		prefixes = append(prefixes, table.prefix)
	}
	return fmt.Errorf("change-log key %q belongs to no table of this stage (%s): another version or another stage wrote it", key, strings.Join(prefixes, " "))
}

// size is the number of committed keys, and the bytes of keys and values.
func (ts tables) size() (keys int, bytes int64) {
	for _, table := range ts {
		keys += table.Len()
		bytes += table.Bytes()
	}
	return keys, bytes
}

// keyArena holds the change-log keys of one transaction. It only grows until the
// transaction ends, so nothing overwrites a key.
type keyArena struct{ bytes []byte }

// key is the arena's tail as a string.
func (a *keyArena) key(start int) string {
	return unsafe.String(&a.bytes[start], len(a.bytes)-start)
}

func (a *keyArena) reset() { a.bytes = a.bytes[:0] }
