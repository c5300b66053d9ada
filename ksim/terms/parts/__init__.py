"""What families of terms are made of: names looked up, checks, joints, feet, contacts."""
