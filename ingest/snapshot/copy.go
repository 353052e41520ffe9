package snapshot

import "encoding/binary"

// blockBytes is how much of the entries is compressed and checked at once.
const blockBytes = 1 << 20

// Copy is a task's state in memory on its way to a file. The zero value is empty.
// It holds the entries as the file will, uncompressed: their size and little more.
type Copy struct {
	blocks  [][]byte
	entries int64
	bytes   int64
}

// Add copies one entry. Keys must be distinct.
func (c *Copy) Add(key string, value []byte) {
	need := 2*binary.MaxVarintLen32 + len(key) + len(value)
	last := len(c.blocks) - 1
	if last < 0 || cap(c.blocks[last])-len(c.blocks[last]) < need {
		c.blocks = append(c.blocks, make([]byte, 0, max(blockBytes, need)))
		last++
	}
	b := binary.AppendUvarint(c.blocks[last], uint64(len(key)))
	b = append(b, key...)
	b = binary.AppendUvarint(b, uint64(len(value)))
	c.blocks[last] = append(b, value...)
	c.entries++
	c.bytes += int64(len(key) + len(value))
}

// Entries is how many were added.
func (c *Copy) Entries() int64 { return c.entries }

// Bytes is the size of their keys and values.
func (c *Copy) Bytes() int64 { return c.bytes }
