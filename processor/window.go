package processor

// bounds lets [WindowOf] find out at wiring time, without boxing a key per
// record, that a type is a Windowed.
func (Windowed[K]) bounds() any {
	return func(w Windowed[K]) (start, end Timestamp) { return w.Start, w.End }
}

// WindowOf returns a function that gives the window of a K, or nil if K is a type
// that has none (every type but a Windowed). Call it once when a node is wired.
func WindowOf[K any]() func(K) (start, end Timestamp) {
	var zero K
	w, ok := any(zero).(interface{ bounds() any })
	if !ok {
		return nil
	}
	return w.bounds().(func(K) (start, end Timestamp))
}
