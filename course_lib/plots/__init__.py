"""The drawings of the lessons, a module a lesson: only drawing, nothing is computed or claimed."""
