package simulate

// ordered values know which of them comes first; equal ones are alike.
type ordered[T any] interface{ before(T) bool }

// heap is a binary min-heap. container/heap would box every value, and timers
// are pushed for every event.
type heap[T ordered[T]] []T

func (h *heap[T]) push(v T) {
	s := append(*h, v)
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !v.before(s[up]) {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = v
	*h = s
}

func (h *heap[T]) pop() T {
	s := *h
	top, v := s[0], s[len(s)-1]
	var zero T
	s[len(s)-1] = zero
	s = s[:len(s)-1]
	*h = s
	if len(s) == 0 {
		return top
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= len(s) {
			break
		}
		if down+1 < len(s) && s[down+1].before(s[down]) {
			down++
		}
		if !s[down].before(v) {
			break
		}
		s[i] = s[down]
		i = down
	}
	s[i] = v
	return top
}
