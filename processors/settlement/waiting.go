package settlement

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// waiting lists the checkouts with a sale whose shares the catalogue does not hold, by drop and version of the shares. A list is in
// pages, so that adding to a long one costs a page.
type waiting struct {
	lists *processors.Table[waitingList]
	pages *processors.Table[waitingPage]
	key   []byte
	found []string
}

// waitingList says how many pages there are and how many checkouts stand on the last one.
type waitingList struct{ pages, last uint64 }

// waitingPage holds checkout ids.
type waitingPage struct{ ids []string }

// pageSize is how many checkouts stand on a page, which is also how many are tried again at one flush.
const pageSize = 256

func newWaiting() waiting {
	return waiting{
		lists: processors.NewTable("waiting", processors.Codec[waitingList](listCodec{})),
		pages: processors.NewTable("waiting page", processors.Codec[waitingPage](pageCodec{})),
	}
}

func (w *waiting) add(drop string, version uint32, id string) {
	w.key = binary.AppendUvarint(wire.AppendString(w.key[:0], drop), uint64(version))
	list, _ := w.lists.Put(wire.Alias(w.key))
	if list.pages == 0 || list.last == pageSize {
		list.pages, list.last = list.pages+1, 0
	}
	list.last++
	w.key = binary.AppendUvarint(w.key, list.pages)
	page, _ := w.pages.Put(wire.Alias(w.key))
	page.ids = append(page.ids, id)
}

// ready takes up to a page off every list whose shares are there, and calls each with its checkouts.
func (w *waiting) ready(there func(drop string, version uint32) bool, each func(id string)) {
	w.found = w.found[:0]
	err := w.lists.Each(func(key string, _ *waitingList) {
		drop, rest := wire.CutString(key)
		if version, _ := binary.Uvarint([]byte(rest)); there(drop, uint32(version)) {
			w.found = append(w.found, strings.Clone(key))
		}
	})
	if err != nil {
		panic(fmt.Sprintf("settlement: %v, though it was restored or written here", err))
	}
	slices.Sort(w.found)
	for _, key := range w.found {
		list, _ := w.lists.Put(key)
		w.key = binary.AppendUvarint(append(w.key[:0], key...), list.pages)
		page, _ := w.pages.Put(wire.Alias(w.key))
		ids := slices.Clone(page.ids)
		w.pages.Delete(wire.Alias(w.key))
		if list.pages--; list.pages == 0 {
			w.lists.Delete(key)
		} else {
			list.last = pageSize
		}
		for _, id := range ids {
			each(id)
		}
	}
}

// listCodec writes: version, pages, last.
type listCodec struct{}

const listVersion = 1

func (listCodec) Append(dst []byte, l *waitingList) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(append(dst, listVersion), l.pages), l.last)
}

func (listCodec) Decode(data []byte, l *waitingList) error {
	r, _ := wire.NewReader(data, listVersion)
	*l = waitingList{pages: r.Unsigned(), last: r.Unsigned()}
	return r.Done()
}

func (listCodec) Deadline(*waitingList) int64 { return 0 }

// pageCodec writes: version, number of ids, ids.
type pageCodec struct{}

const pageVersion = 1

func (pageCodec) Append(dst []byte, p *waitingPage) []byte {
	dst = binary.AppendUvarint(append(dst, pageVersion), uint64(len(p.ids)))
	for _, id := range p.ids {
		dst = wire.AppendString(dst, id)
	}
	return dst
}

func (pageCodec) Decode(data []byte, p *waitingPage) error {
	r, _ := wire.NewReader(data, pageVersion)
	p.ids = p.ids[:0]
	for range r.Count() {
		p.ids = append(p.ids, string(r.Bytes()))
	}
	return r.Done()
}

func (pageCodec) Deadline(*waitingPage) int64 { return 0 }
