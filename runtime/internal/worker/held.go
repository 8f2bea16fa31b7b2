package worker

// leaveHeld says that a commit has to leave a task out because one of its
// processors holds a record. Outputs, rows and positions of a task go together, so
// all that it has done since its last commit waits, and it must not run ahead of
// that without bound: from here on it takes no input.
func (w *Worker) leaveHeld(s *slot) bool {
	held, _ := s.task.Held()
	if held {
		s.waits = true
	}
	return held
}

// heldBack says that a task waits for a release and has nothing for a commit.
func (s *slot) heldBack() bool {
	if !s.waits {
		return false
	}
	held, _ := s.task.Held()
	return held
}

// heldError is why a held record of a task will never be committed. It ends the
// worker under every policy for poison: what was started elsewhere for the record
// may have happened, so it cannot be left out as if it had not been there.
func heldError(s *slot) error {
	if _, failed := s.task.Held(); failed != nil {
		return &TaskError{Task: s.id, Node: failed.Node, Origin: failed.Origin, Err: failed}
	}
	return nil
}
