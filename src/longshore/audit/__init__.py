"""The audit log: who did what to which object, from where, with which result; every row sealed to the one
before."""
