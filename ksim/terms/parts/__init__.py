"""Parts that families of terms share: looking up names, checks, joints, feet, contacts."""
